"""Dead letters, from refusal to acknowledgement: first the row is durable, then the record is sent, then the offset settles (I2).

Promises: original key, value and headers reach both places byte for byte; while Postgres is away letters wait here, bounded by
the dispatcher's in-flight limit; after the limit stopped consumption nothing more is dead-lettered. A value that is too large
for the dead-letter topic is left out of the record there, which says so in a header; the row has it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from services.events import topic_name
from services.messaging import HEADER_PREFIX, Outgoing, Sender, dead_letter_record
from services.storage import DeadLetter, dead_letter_id, utc_from_ms
from services.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafka import KafkaProducer

    from consumers.dispatcher.dead_letter_limit import DeadLetterLimit
    from consumers.dispatcher.items import Refusal
    from services.storage import DeadLetterStore

__all__ = ["DeadLetterDesk"]

_log = get_logger(__name__)

_COMPONENT = "dispatcher"
#: Letters per transaction: a flood of rubbish goes by in few round trips, and the loop is never held up for long.
_CHUNK = 200


class DeadLetterDesk:
    """The loop's thread only."""

    def __init__(
        self, store: DeadLetterStore, producer: KafkaProducer, limit: DeadLetterLimit, topic_prefix: str
    ) -> None:
        self._store = store
        self._limit = limit
        self._topic_prefix = topic_prefix
        self._sender: Sender[Refusal] = Sender(producer)
        self._new: list[Refusal] = []
        self._version = version("tidegate")
        self.halted: str | None = None

    def add(self, refusal: Refusal) -> None:
        """Take one message that cannot become a result."""
        if self.halted is None:
            self.halted = self._limit.dead_letter(refusal.reason)
            if self.halted is not None:
                _log.critical("consumption stopped by the dead-letter limit", problem=self.halted)
        self._new.append(refusal)

    def flush(self, now_s: float) -> bool:
        """Store what is new, and send the records of what is stored. Returns whether Postgres was asked for anything.

        Raises:
            TransientError: Postgres is away; everything is kept for the next call.
        """
        asked = False
        if self.halted is None:
            while self._new:
                chunk = self._new[:_CHUNK]
                letters = [self._letter(r) for r in chunk]
                self._store.add(letters)
                asked = True
                del self._new[: len(chunk)]
                for refusal, letter in zip(chunk, letters, strict=True):
                    self._sender.put(self._outgoing(refusal, letter))
        for refused in self._sender.refused():
            self._sender.put(_smaller(refused.outgoing))
        self._sender.send(now_s)
        return asked

    def discard(self, gone: Callable[[Refusal], bool]) -> list[Refusal]:
        """Forget letters that were not sent and for which `gone` holds: another dispatcher refuses them now."""
        removed = [r for r in self._new if gone(r)]
        self._new = [r for r in self._new if not gone(r)]
        return removed + self._sender.discard(gone)

    def acknowledged(self, now_s: float) -> Iterator[Refusal]:
        """Refusals whose row and record both exist."""
        for refusal, _ in self._sender.acknowledged(now_s):
            yield refusal

    @property
    def held(self) -> int:
        """Letters that will not be written by this process, because the limit stopped consumption: nobody need wait for them."""
        return len(self._new) if self.halted is not None else 0

    def __len__(self) -> int:
        """Letters that are not settled."""
        return len(self._new) + len(self._sender)

    @property
    def problem(self) -> str | None:
        """Why records cannot be sent, if so."""
        return self._sender.problem

    def _letter(self, refusal: Refusal) -> DeadLetter:
        record = refusal.record
        return DeadLetter(
            id=dead_letter_id(record.topic, record.partition, record.offset, record.value),
            capability=refusal.capability.name,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            record_timestamp=utc_from_ms(record.timestamp),
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
            reason=refusal.reason.value,
            detail=refusal.detail,
            event_id=refusal.event_id,
            component=_COMPONENT,
            version=self._version,
            failed_at=datetime.now(UTC),
        )

    def _outgoing(self, refusal: Refusal, letter: DeadLetter) -> Outgoing[Refusal]:
        facts = {
            "id": letter.id,
            "reason": letter.reason,
            "error": letter.detail,
            "topic": letter.topic,
            "partition": str(letter.partition),
            "offset": str(letter.offset),
            "timestamp": letter.record_timestamp.isoformat(),
            "failed-at": letter.failed_at.isoformat(),
            "component": letter.component,
            "version": letter.version,
        }
        record = dead_letter_record(letter.key, letter.value, letter.headers, facts)
        topic = topic_name(self._topic_prefix, refusal.capability.input.dead_letter_topic)
        return Outgoing(refusal, topic, None, record.key, record.value, record.headers)


def _smaller(out: Outgoing[Refusal]) -> Outgoing[Refusal]:
    """The same letter with the largest part left out that it still has: its value, then its own headers, then its key."""
    key, headers = out.key, out.headers
    if out.value is not None:
        headers = [*headers, (f"{HEADER_PREFIX}value-omitted", str(len(out.value)).encode())]
    elif any(not name.startswith(HEADER_PREFIX) for name, _ in headers):
        headers = [header for header in headers if header[0].startswith(HEADER_PREFIX)]
    else:
        key = None
    return Outgoing(out.subject, out.topic, None, key if key is not None else b"", None, headers)
