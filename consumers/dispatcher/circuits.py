"""Which dependencies are away, in the loop's eyes: while one is, its steps are skipped, and metrics and readiness say so.

Promises: an open circuit is tried again after a short pause, and closes with the first step that succeeds; a step's
`TransientError` or `ConfigurationError` never leaves `guarded`. Any other error is a bug, and does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from services.errors import ConfigurationError, TransientError
from services.telemetry import get_logger, metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.telemetry import Health

__all__ = ["WORKERS", "Circuits"]

_log = get_logger(__name__)

#: The one circuit that is no outage of the infrastructure: see `HealthyClock`.
WORKERS = "workers"

#: After a failed step its dependency is left alone for this long.
_PAUSE_S = 0.3


class Circuits:
    """The loop's thread only."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._open: dict[str, tuple[str, float]] = {}  # dependency → (problem, not before)

    def __bool__(self) -> bool:
        """Whether any is open."""
        return bool(self._open)

    def __contains__(self, dependency: str) -> bool:
        return dependency in self._open

    @property
    def outage(self) -> bool:
        """Whether a part of the infrastructure is away, which explains that a batch is lost."""
        return bool(self._open.keys() - {WORKERS})

    def open(self, dependency: str, problem: str) -> None:
        """The dependency is away."""
        if dependency not in self._open:
            _log.warning("circuit opened", dependency=dependency, problem=problem)
            metrics.CIRCUIT_OPEN.labels(dependency).set(1)
        self._health.set_condition(dependency, problem)
        self._open[dependency] = (problem, time.monotonic() + _PAUSE_S)

    def close(self, dependency: str) -> None:
        """The dependency answers."""
        if self._open.pop(dependency, None) is not None:
            _log.info("circuit closed", dependency=dependency)
            metrics.CIRCUIT_OPEN.labels(dependency).set(0)
            self._health.set_condition(dependency, None)

    def may_try(self, dependency: str, now_s: float) -> bool:
        """False for a moment after each failure."""
        problem = self._open.get(dependency)
        return problem is None or now_s >= problem[1]

    def guarded(self, dependency: str, step: Callable[[], bool]) -> None:
        """Run a step; while its dependency is away, open its circuit and go on with the rest.

        The step says whether it asked its dependency for anything: one that had nothing to ask proves nothing.
        """
        if not self.may_try(dependency, time.monotonic()):
            return
        try:
            asked = step()
        except (TransientError, ConfigurationError) as error:
            self.open(dependency, str(error))
        else:
            if asked:
                self.close(dependency)
