"""Texts like those that people publish, Chinese and English mixed, drawn from the project's own examples.

Promises: the same count and seed give the same texts, in the same order, as long as the example files stay as they are; no text
comes twice, so that a cache of verdicts has nothing to find.
"""

from __future__ import annotations

import random
from functools import cache

from services.training.data.own_examples import EXAMPLES, read_examples

__all__ = ["sample_texts"]

#: How many examples make one text: most posts are one sentence or two.
_SIZES = (1, 1, 1, 1, 1, 1, 2, 2, 2, 3)


def sample_texts(count: int, seed: int = 1) -> list[str]:
    """`count` different texts. Each is in one language; about half are Chinese."""
    generator = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        pool = _examples(generator.choice(("zh", "en")))
        text = " ".join(generator.choice(pool) for _ in range(generator.choice(_SIZES)))
        while text in texts:
            text = f"{text} {generator.choice(pool)}"
        texts[text] = None
    return list(texts)


@cache
def _examples(language: str) -> tuple[str, ...]:
    return tuple(example.text for path in sorted(EXAMPLES.glob(f"*.{language}.txt")) for example in read_examples(path))
