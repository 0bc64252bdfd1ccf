"""Commits of the watermarks (I1), one at a time, and what their silence tells.

A commit is the one thing that this process asks of Kafka every second whatever happens, and a poll says nothing while a broker is
away: it returns no records, as it does when there are none. So a commit without an answer is how an outage shows when nothing is to
be published. Promises: a commit holds what was settled when it was sent; it never passes an unsettled offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.messaging import KafkaError, lost_membership
from services.telemetry import get_logger

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from consumers.dispatcher.circuits import Circuits
    from services.messaging import Assignment

__all__ = ["Committer"]

_log = get_logger(__name__)

_CIRCUIT = "kafka-commits"
#: A coordinator answers in milliseconds, and in a second or two while it moves.
_SILENT_AFTER_S = 3.0
_LAST_COMMIT_MS = 5000


class Committer:
    """The loop's thread only."""

    def __init__(self, consumer: KafkaConsumer, assignment: Assignment, circuits: Circuits) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._circuits = circuits
        self._sent: Any = None  # the future of the commit that has no answer yet
        self._sent_at = 0.0

    def commit(self, now_s: float) -> None:
        """Look at the last commit's answer; when there is one, send the next."""
        if self._sent is not None and not self._sent.is_done:
            if now_s - self._sent_at > _SILENT_AFTER_S:
                self._circuits.open(_CIRCUIT, "Kafka does not answer a commit")
            return
        if self._sent is not None:
            self._note(None if self._sent.succeeded() else self._sent.exception)
        self._sent = None
        offsets = self._assignment.watermarks()
        if not offsets:
            return
        try:
            self._sent = self._consumer.commit_async(offsets)
            self._sent_at = now_s
        except KafkaError as error:
            self._note(error)

    def commit_and_wait(self) -> None:
        """The last commit of this process."""
        offsets = self._assignment.watermarks()
        if not offsets:
            return
        try:
            self._consumer.commit(offsets, timeout_ms=_LAST_COMMIT_MS)
        except KafkaError as error:
            # What is not committed is delivered again, and found to be published already.
            _log.warning("the last commit failed", error_class=type(error).__name__)

    def _note(self, error: BaseException | None) -> None:
        if error is None:
            self._circuits.close(_CIRCUIT)
        elif lost_membership(error):
            # During a rebalance this is immediate and ordinary; the next commit holds what is still ours.
            _log.info("not committed this time", error_class=type(error).__name__)
            self._circuits.close(_CIRCUIT)
        else:
            self._circuits.open(_CIRCUIT, f"Kafka does not take commits: {type(error).__name__}")
