"""The worker's sign of life: once a second, to Postgres, with what it runs; and the process's own health.

The dispatcher sends a batch again when nobody alive runs it; so a frozen or killed worker is noticed within seconds. Promises
nothing more than that: the sign is a hint, the effects are guarded by their ids.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.errors import TidegateError
from services.telemetry import Health, get_logger, metrics

if TYPE_CHECKING:
    from consumers.worker.batch_run import BatchRunner
    from services.storage import BatchBoard

__all__ = ["Heartbeat"]

_log = get_logger(__name__)

_PERIOD_S = 1.0
_READY_EVERY = 3  # beats between two looks at the models
_LONG_INFERENCE_S = 2.0


class Heartbeat:
    """A daemon thread. `stop()` says goodbye to the dispatcher."""

    def __init__(
        self,
        board: BatchBoard,
        runner: BatchRunner,
        worker: str,
        health: Health,
        models_ready: Callable[[], str | None],
        broker_answers: Callable[[], object],
        longest_run_s: float,
    ) -> None:
        self._board = board
        self._runner = runner
        self._worker = worker
        self._health = health
        self._models_ready = models_ready
        self._broker_answers = broker_answers
        self._longest_run_s = longest_run_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and tell the dispatcher not to wait for this worker."""
        self._stop.set()
        self._thread.join(timeout=5)
        try:
            self._board.leave(self._worker)
        except TidegateError as error:
            _log.info("left without saying so", problem=str(error))

    def _run(self) -> None:
        beats = 0
        not_ready: str | None = None
        while not self._stop.is_set():
            if self._runner.longest_run_s() < self._longest_run_s:
                self._health.beat()
            if beats % _READY_EVERY == 0:
                not_ready = self._models_ready()
                self._health.set_condition("models", not_ready)
                self._look_at_broker()
            beats += 1
            running = self._runner.running()
            problem = next((p for p in running.values() if p), None)
            if problem is None and self._runner.longest_inference_s() > _LONG_INFERENCE_S:
                problem = not_ready  # a server that is frozen answers neither the batch nor us
            try:
                self._board.beat(self._worker, running, problem)
            except TidegateError as error:
                metrics.HEARTBEATS.labels("failed").inc()
                self._health.set_condition("postgres", str(error))
            else:
                metrics.HEARTBEATS.labels("ok").inc()
                self._health.set_condition("postgres", None)
            self._stop.wait(_PERIOD_S)

    def _look_at_broker(self) -> None:
        """Celery connects again by itself, and says nothing while it cannot."""
        try:
            self._broker_answers()
        except TidegateError as error:
            self._health.set_condition("valkey", str(error))
        else:
            self._health.set_condition("valkey", None)
