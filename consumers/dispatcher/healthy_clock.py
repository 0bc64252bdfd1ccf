"""A clock that stands still while the infrastructure is broken (I6). Pure: time and health are arguments.

The workers' absence stops the clock too, because nobody can then make progress; but it is no *outage*, which excuses a batch for
being lost: a message that kills the worker takes the only worker away each time.
"""

from __future__ import annotations

__all__ = ["HealthyClock"]

#: A longer gap between two ticks means that this process itself was frozen, and proves nothing about anybody else.
_LONGEST_TICK_S = 1.0


class HealthyClock:
    """Seconds of healthy time, and how many outages there were."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.outages = 0
        self._healthy = False
        self._in_outage = False
        self._ticked_at: float | None = None

    def tick(self, monotonic_s: float, *, healthy: bool, outage: bool) -> None:
        """Time went on; the interval counts only when it began and ends healthy. An outage is never healthy."""
        if self._ticked_at is not None and self._healthy and healthy:
            self.now_s += min(monotonic_s - self._ticked_at, _LONGEST_TICK_S)
        if outage and not self._in_outage:
            self.outages += 1
        self._healthy = healthy
        self._in_outage = outage
        self._ticked_at = monotonic_s
