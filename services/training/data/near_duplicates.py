"""Texts that are the same but for small changes, across the border between training and held-out data.

MinHash over character 5-grams (64 permutations, Jaccard 0.8) by `datasketch`. Promises: exact matches after folding case, width
and white space are always found; near ones with the probability that MinHash gives (above 0.95 at a similarity of 0.9). It looks
from the training side at held-out texts only; duplicates inside the training data are found by their exact key. Memory grows with the
signatures of the held-out texts and with the texts themselves, not with what is compared of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from datasketch import MinHash, MinHashLSH

__all__ = ["HeldOut", "exact_key"]

_SPACES = re.compile(r"\s+")
_GRAM = 5
_PERMUTATIONS = 64
_SIMILARITY = 0.8
#: Shorter keys have too few 5-grams to be compared; only their exact copies count.
_SHORTEST = 20


def exact_key(text: str) -> str:
    """Two texts with one key are the same text."""
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


class HeldOut:
    """An index of texts that must not be trained on."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._exact = {exact_key(text) for text in texts}
        self._index = MinHashLSH(threshold=_SIMILARITY, num_perm=_PERMUTATIONS)
        keys = sorted(key for key in self._exact if len(key) >= _SHORTEST)
        with self._index.insertion_session() as session:
            for key, signature in zip(keys, _signatures(keys), strict=True):
                session.insert(key, signature)

    def __len__(self) -> int:
        return len(self._exact)

    def contains(self, texts: list[str]) -> list[bool]:
        """For each text, whether it or a near copy is held out."""
        keys = [exact_key(text) for text in texts]
        long = [i for i, key in enumerate(keys) if len(key) >= _SHORTEST and key not in self._exact]
        found = [key in self._exact for key in keys]
        for i, signature in zip(long, _signatures(keys[i] for i in long), strict=True):
            found[i] = bool(self._index.query(signature))
        return found


def _signatures(keys: Iterable[str]) -> Iterator[MinHash]:
    """One after the other: a text's 5-grams weigh fifty times the text, so they never lie in memory all at once."""
    return iter(MinHash.generator((_grams(key) for key in keys), num_perm=_PERMUTATIONS))


def _grams(key: str) -> list[bytes]:
    return [key[i : i + _GRAM].encode("utf-8", "replace") for i in range(len(key) - _GRAM + 1)]
