"""A clock that stands still while the infrastructure is broken (I6). Pure: time and health are arguments."""

from __future__ import annotations

__all__ = ["HealthyClock"]

#: A longer gap between two ticks means that this process itself was frozen, and proves nothing about anybody else.
_LONGEST_TICK_S = 1.0


class HealthyClock:
    """Seconds of healthy time, and how often health was lost."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.faults = 0
        self._healthy = False
        self._ticked_at: float | None = None

    def tick(self, monotonic_s: float, *, healthy: bool) -> None:
        """Time went on; the interval counts only when it began and ends healthy."""
        if self._ticked_at is not None and self._healthy and healthy:
            self.now_s += min(monotonic_s - self._ticked_at, _LONGEST_TICK_S)
        if self._healthy and not healthy:
            self.faults += 1
        self._healthy = healthy
        self._ticked_at = monotonic_s
