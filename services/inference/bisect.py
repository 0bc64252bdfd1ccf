"""Finding the items that make a batch fail, by halving. Pure: knows nothing of models.

Promises: every item is either computed or named as a cause; a batch of n with one bad item costs at most 2·log2(n) + 1 calls.
Errors other than `PermanentError` pass through untouched: an outage is nobody's fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.errors import PermanentError

__all__ = ["run_bisecting"]

T = TypeVar("T")
R = TypeVar("R")


def run_bisecting(call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R | PermanentError]:
    """One result or one `PermanentError` per item, in order. `call` must give one result per item."""
    if not items:
        return []
    try:
        return list(call(items))
    except PermanentError as error:
        if len(items) == 1:
            return [error]
    middle = len(items) // 2
    return run_bisecting(call, items[:middle]) + run_bisecting(call, items[middle:])
