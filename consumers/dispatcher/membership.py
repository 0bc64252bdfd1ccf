"""Whether this dispatcher may publish: one that was frozen or cut off may be a zombie whose partitions are somebody else's.

Only the group's coordinator knows, and it refuses a zombie's commit, so a commit is the proof; committing watermarks is harmless.
Promises: after a gap between two polls that is longer than half of what the group puts up with (`shortest_patience_ms`, of a
session and of the time between two polls the shorter one), and after the coordinator was silent for so long (while other brokers
may well answer), nothing is published before the coordinator took a commit. A join that is under way counts as an answer: who is cut
off in the middle of one publishes until it ends. What
the client had in its own buffers when it froze is out of reach, and leaves when it wakes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from services.messaging import KafkaError
from services.telemetry import get_logger

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from services.messaging import Assignment

__all__ = ["Membership"]

_log = get_logger(__name__)

_PROOF_MS = 2000


class Membership:
    """The loop's thread only."""

    def __init__(self, consumer: KafkaConsumer, assignment: Assignment, shortest_patience_ms: int) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self.longest_gap_s = shortest_patience_ms / 2000
        self._polled_at = time.monotonic()
        self._proven = True
        self._refused = False

    def polled(self) -> None:
        """A poll returned."""
        now = time.monotonic()
        if now - self._polled_at > self.longest_gap_s:
            self._proven = False
        self._polled_at = now

    def holds(self, silent_s: float) -> bool:
        """Whether results may be published now; the coordinator has been silent for so many seconds."""
        if time.monotonic() - self._polled_at > self.longest_gap_s:
            return False  # frozen since the poll: the next one comes first
        if silent_s > self.longest_gap_s:
            self._proven = False
            return False  # asking again would only hold the loop up: the next commit shows when it is back
        if not self._proven:
            self._proven = self._prove()
        return self._proven

    def joined(self) -> bool:
        """Whether the group has taken this dispatcher in, with or without partitions; as far as is known here."""
        return bool(self._consumer.group_metadata().generation_id > 0)

    def _prove(self) -> bool:
        offsets = self._assignment.watermarks()
        if not offsets:
            return True  # nothing is ours, so there is nothing to publish
        try:
            self._consumer.commit(offsets, timeout_ms=_PROOF_MS)
        except KafkaError as error:
            if not self._refused:  # every round asks again
                what = "was frozen or cut off, and may be a member no more: publishes nothing"
                _log.warning(what, error_class=type(error).__name__)
            self._refused = True
            return False
        self._refused = False
        return True
