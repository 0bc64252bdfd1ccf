"""Collects items into batches: full by count, full by bytes, or old enough. Pure: time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.dispatcher.items import Batch, Item

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Batcher"]


class Batcher:
    """One open batch per capability. An item larger than `max_bytes` becomes a batch of its own."""

    def __init__(self, max_items: int, max_bytes: int, linger_s: float) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._linger_s = linger_s
        self._open: dict[str, tuple[list[Item], float]] = {}  # capability → items, time of the first
        self._bytes: dict[str, int] = {}

    def add(self, item: Item, now_s: float) -> list[Batch]:
        """Take one item; returns the batches that are full now, oldest first."""
        name = item.capability.name
        full: list[Batch] = []
        if name in self._open and self._bytes[name] + item.size_bytes > self._max_bytes:
            full.append(self._close(name))
        items, _ = self._open.setdefault(name, ([], now_s))
        items.append(item)
        self._bytes[name] = self._bytes.get(name, 0) + item.size_bytes
        if len(items) >= self._max_items or self._bytes[name] >= self._max_bytes:
            full.append(self._close(name))
        return full

    def due(self, now_s: float, *, flush: bool = False) -> list[Batch]:
        """The open batches that have waited long enough, or all of them."""
        names = [n for n, (_, since) in self._open.items() if flush or now_s - since >= self._linger_s]
        return [self._close(name) for name in names]

    def discard(self, gone: Callable[[Item], bool]) -> list[Item]:
        """Take out the items for which `gone` holds (their partition was revoked)."""
        removed: list[Item] = []
        for name in list(self._open):
            items, since = self._open[name]
            removed += [i for i in items if gone(i)]
            kept = [i for i in items if not gone(i)]
            if kept:
                self._open[name] = (kept, since)
                self._bytes[name] = sum(i.size_bytes for i in kept)
            else:
                del self._open[name], self._bytes[name]
        return removed

    def __len__(self) -> int:
        """Items that wait in open batches."""
        return sum(len(items) for items, _ in self._open.values())

    def _close(self, name: str) -> Batch:
        items, _ = self._open.pop(name)
        del self._bytes[name]
        return Batch(items[0].capability, items)
