"""The order in which training texts are seen: shuffled, yet batched with texts of similar length.

The order is a pure function of (seed, epoch, lengths, batch size), so a resumed run continues with the batch it would
have seen next, and two runs with one seed see the same batches.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

__all__ = ["batch_order", "epoch_batches"]

#: Batches are sorted by length inside groups of this many: enough to save most padding, few enough to stay well mixed.
_GROUP = 50


def epoch_batches(lengths: Sequence[int], batch: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches (lists of indexes) of one epoch; each index occurs exactly once."""
    randomness = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    randomness.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), batch * _GROUP):
        group = sorted(order[start : start + batch * _GROUP], key=lambda i: lengths[i])
        batches += [group[i : i + batch] for i in range(0, len(group), batch)]
    randomness.shuffle(batches)
    return batches


def batch_order(lengths: Sequence[int], batch: int, seed: int, first_step: int = 0) -> Iterator[list[int]]:
    """Batches without end, epoch after epoch, starting with the one of step `first_step`."""
    if not lengths:
        return
    per_epoch = len(epoch_batches(lengths, batch, seed, 0))
    epoch, skip = divmod(first_step, per_epoch)
    while True:
        yield from epoch_batches(lengths, batch, seed, epoch)[skip:]
        epoch, skip = epoch + 1, 0
