"""Which texts share a call: sequences of different lengths laid end to end into graphs of a few fixed widths.

The model's cost is nearly linear in tokens, so padding is what a batch wastes. Instead of padding each text to the longest of
its batch, several texts lie one after the other in a single row of `width` tokens, and a mask keeps them from seeing each other
(as in sequence packing for training, Krell et al. 2021, arXiv:2107.02027). One graph per width replaces one per (batch, width),
and a graph costs 67 MB.

`Packer.pack` is best-fit decreasing; the last, emptiest row gets the narrowest graph that holds it. Pure: no model, no clock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Packer", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One call: run the graph of `width` tokens on these sequences, laid end to end in this order."""

    width: int
    indexes: tuple[int, ...]


class Packer:
    """Packs for one fixed set of widths.

    Raises:
        ValueError: there is no width.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        if not widths:
            raise ValueError("a packer needs at least one width")
        self.widths = tuple(sorted(set(widths)))
        self.longest = self.widths[-1]

    def pack(self, lengths: Sequence[int]) -> list[Row]:
        """Rows that hold each sequence exactly once.

        Raises:
            ValueError: a sequence is longer than the widest graph.
        """
        if lengths and max(lengths) > self.longest:
            raise ValueError(f"a sequence of {max(lengths)} tokens does not fit the widest graph ({self.longest})")
        rows: list[list[int]] = []
        free: list[tuple[int, int]] = []  # (tokens left, row), ascending: the first that is large enough fits best
        for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
            need = lengths[index]
            place = bisect_left(free, (need, -1))
            if place < len(free):
                left, row = free.pop(place)
                rows[row].append(index)
            else:
                left, row = self.longest, len(rows)
                rows.append([index])
            if left - need:
                insort(free, (left - need, row))
        return [self._row(indexes, lengths) for indexes in rows]

    def _row(self, indexes: list[int], lengths: Sequence[int]) -> Row:
        tokens = sum(lengths[i] for i in indexes)
        return Row(self.widths[bisect_left(self.widths, tokens)], tuple(indexes))
