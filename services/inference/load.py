"""How much text one process may have in a model server at once.

A server merges what waits into one batch by count, whatever the texts' length: eight requests with a very long text each would be
one call of minutes, which nobody can tell from a frozen model. Promises: requests enter in the order in which they come; together
they are no larger than the limit, but for one that is larger by itself and then is alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["LoadLimit"]


class LoadLimit:
    """Bytes under way. Thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._under_way = 0
        #: Whoever waits for room keeps the door, so that small requests do not pass a large one for ever.
        self._door = threading.Lock()
        self._left = threading.Condition()

    @contextmanager
    def entered(self, size_bytes: int) -> Iterator[None]:
        """Wait for room, and hold it for the time of the block."""
        with self._door, self._left:
            while self._under_way and self._under_way + size_bytes > self._most:
                self._left.wait()
            self._under_way += size_bytes
        try:
            yield
        finally:
            with self._left:
                self._under_way -= size_bytes
                self._left.notify_all()
