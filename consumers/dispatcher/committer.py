"""Commits of the watermarks (I1), one at a time, and what their silence tells.

A commit is the one thing that this process asks of Kafka every second whatever happens, and a poll says nothing while a broker is
away: it returns no records, as it does when there are none. So a commit without an answer is how an outage shows when nothing is to
be published. Promises: a commit holds what was settled when it was sent; it never passes an unsettled offset; one that never gets
an answer is given up after a while, and the next is sent.
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
#: No request of the client's lasts so long: this answer will not come any more.
_GIVEN_UP_AFTER_S = 60.0
_LAST_COMMIT_MS = 5000


class Committer:
    """The loop's thread only."""

    def __init__(self, consumer: KafkaConsumer, assignment: Assignment, circuits: Circuits) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._circuits = circuits
        self._sent: Any = None  # the future of the commit that has no answer yet
        self._sent_at = 0.0
        self._unheard_since: float | None = None

    def silent_s(self, now_s: float) -> float:
        """For how long the coordinator has not been heard of; 0 while it answers, if only that a rebalance goes on."""
        return 0.0 if self._unheard_since is None else now_s - self._unheard_since

    def commit(self, now_s: float) -> None:
        """Look at the last commit's answer; when there is one, send the next."""
        if self._sent is not None and not self._sent.is_done:
            if now_s - self._sent_at > _SILENT_AFTER_S:
                self._unheard("Kafka does not answer a commit")
            if now_s - self._sent_at < _GIVEN_UP_AFTER_S:
                return
        elif self._sent is not None:
            self._note(None if self._sent.succeeded() else self._sent.exception)
        self._sent = None
        offsets = self._assignment.watermarks()
        if not offsets:
            return
        self._sent_at = now_s
        try:
            self._sent = self._consumer.commit_async(offsets)
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
            self._heard()
        elif lost_membership(error):
            # During a rebalance this is immediate and ordinary; the next commit holds what is still ours.
            _log.info("not committed this time", error_class=type(error).__name__)
            self._heard()
        else:
            self._unheard(f"Kafka does not take commits: {type(error).__name__}")

    def _heard(self) -> None:
        self._unheard_since = None
        self._circuits.close(_CIRCUIT)

    def _unheard(self, problem: str) -> None:
        if self._unheard_since is None:
            self._unheard_since = self._sent_at
        self._circuits.open(_CIRCUIT, problem)
