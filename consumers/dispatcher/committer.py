"""Commits of the watermarks (I1), one at a time, and what their silence tells.

A commit is the one thing that this process asks of Kafka every second whatever happens, and a poll says nothing while a broker is
away: it returns no records, as it does when there are none. So a commit without an answer is how an outage shows when nothing is to
be published. Promises: a commit holds what was settled when it was sent; it never passes an unsettled offset; one that never gets
an answer is given up after a while, and the next is sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from services.messaging import KafkaError, coordinator_answered, lost_membership
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
    """The loop's thread only: the client gives answers inside `poll` and inside the next commit."""

    def __init__(self, consumer: KafkaConsumer, assignment: Assignment, circuits: Circuits) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._circuits = circuits
        self._number = 0  # of the last commit
        self._waiting = False  # for its answer
        self._sent_at = 0.0
        self._unheard_since: float | None = None

    def silent_s(self, now_s: float) -> float:
        """For how long the coordinator has not been heard of; 0 while it answers, if only that a rebalance goes on."""
        return 0.0 if self._unheard_since is None else now_s - self._unheard_since

    def commit(self, now_s: float) -> None:
        """Unless the last commit waits for its answer, send the next."""
        if self._waiting:
            if now_s - self._sent_at > _SILENT_AFTER_S:
                self._unheard("Kafka does not answer a commit")
            if now_s - self._sent_at < _GIVEN_UP_AFTER_S:
                return
        offsets = self._assignment.watermarks()
        if not offsets:
            self._waiting = False
            self._heard()  # what is assigned next is the coordinator's answer
            return
        self._number += 1
        self._waiting, self._sent_at = True, now_s
        # Not the future that is returned: while the coordinator is not known, that one is of looking for it, which another broker
        # answers (kafka-python 3.0.12).
        answered = partial(self._answered, self._number)
        try:
            self._consumer.commit_async(offsets, callback=answered)
        except KafkaError as error:
            answered(offsets, error)

    def _answered(self, number: int, _offsets: object, answer: object) -> None:
        if number != self._number or not self._waiting:
            return  # it was given up before
        self._waiting = False
        if not isinstance(answer, BaseException):
            self._heard()
        elif lost_membership(answer):
            # During a rebalance this is immediate and ordinary; the next commit holds what is still ours.
            _log.info("not committed this time", error_class=type(answer).__name__)
            self._heard()
        else:
            self._unheard(f"Kafka does not take commits: {type(answer).__name__}")
            if coordinator_answered(answer):
                self._unheard_since = None  # the circuit shows what is wrong; it is no reason to publish nothing

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

    def _heard(self) -> None:
        self._unheard_since = None
        self._circuits.close(_CIRCUIT)

    def _unheard(self, problem: str) -> None:
        if self._unheard_since is None:
            self._unheard_since = self._sent_at
        self._circuits.open(_CIRCUIT, problem)
