"""Which held-out texts a part of an evaluation takes when it does not need them all.

Promises: the same texts on every machine and in every order of the data; sources take turns, so that a small one is not drowned;
`None` takes everything. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from services.training.data.dataset import Item

__all__ = ["take", "take_evenly", "take_items"]

T = TypeVar("T")


def _rank(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def take(rows: Sequence[T], most: int | None, text: Callable[[T], str]) -> list[T]:
    """At most `most` rows, chosen by a hash of their text."""
    return sorted(rows, key=lambda row: _rank(text(row)))[:most]


def take_evenly(rows: Sequence[T], most: int | None, text: Callable[[T], str], group: Callable[[T], str]) -> list[T]:
    """At most `most` rows, the groups taking turns."""
    groups: dict[str, list[T]] = {}
    for row in take(rows, None, text):
        groups.setdefault(group(row), []).append(row)
    ranked = [(turn, name, row) for name, members in groups.items() for turn, row in enumerate(members)]
    return [row for _, _, row in sorted(ranked, key=lambda entry: entry[:2])[:most]]


def take_items(items: Sequence[Item], most: int | None) -> list[Item]:
    """At most `most` items, the sources taking turns."""
    return take_evenly(items, most, lambda item: item.text, lambda item: item.source)
