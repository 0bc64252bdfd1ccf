"""Harmless sentences around a training text, so that harm among politeness is seen.

A model that pools over all tokens and has learnt from single sentences takes a threat in a friendly mail for a friendly mail: of
held-out abuse, version 6 flags nine texts in ten alone and less than a half between two harmless sentences (measured 2026-11).
Promises: the labels of a text stay what they are, because its neighbours are known to carry none; the neighbours are training texts
of the same language; what training would cut is not made. Does not promise that the sentences fit together. In cross-validation a
neighbour may be of another fold: it carries no label, so nothing but harmless wording is known early.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.training.data.dataset import Item

__all__ = ["surround", "surrounded"]

_NEIGHBOURS = (1, 1, 2, 2, 3, 4)
#: How often each stands on a line of its own.
_OWN_LINES = 0.2
#: Characters of the whole, of texts in ASCII and of others: training cuts what is longer.
_LONGEST_ASCII, _LONGEST = 450, 150


def surround(items: Sequence[Item], share: float, randomness: random.Random) -> list[Item]:
    """The same items in the same order, about `share` of them with harmless neighbours before or behind."""
    harmless: dict[str, list[str]] = {}
    for item in items:
        if all(value == 0 for value in item.targets):
            harmless.setdefault(item.language, []).append(item.text)
    return [
        replace(item, text=surrounded(item.text, item.language, harmless[item.language], randomness))
        if item.language in harmless and randomness.random() < share
        else item
        for item in items
    ]


def surrounded(text: str, language: str, harmless: Sequence[str], randomness: random.Random) -> str:
    """The text with one to four of the `harmless` texts of its language before or behind; itself where that would be too long."""
    mark = "\n" if randomness.random() < _OWN_LINES else "" if language == "zh" else " "
    parts = [text]
    for _ in range(randomness.choice(_NEIGHBOURS)):
        neighbour = randomness.choice(harmless)
        longer = [neighbour, *parts] if randomness.random() < 0.5 else [*parts, neighbour]
        whole = mark.join(longer)
        if len(whole) > (_LONGEST_ASCII if whole.isascii() else _LONGEST):
            continue
        parts = longer
    return mark.join(parts)
