"""Sends with their futures: a send counts when its future says so, and one that failed is sent again.

Promises (the second half of I2): `acknowledged` hands out only records that the broker acknowledged (acks=all), each once. The
producer's own memory is unbounded while a broker is away; what is kept here is bounded by the dispatcher's in-flight limit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kafka.errors import KafkaError

from services.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafka import KafkaProducer

__all__ = ["Outgoing", "Sender"]

_log = get_logger(__name__)

T = TypeVar("T")

_PAUSE_AFTER_FAILURE_S = 0.5


@dataclass(slots=True)
class Outgoing(Generic[T]):
    """One record to send, and what it stands for."""

    subject: T
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


class Sender(Generic[T]):
    """Keeps the order of its sends. The loop's thread only."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self._waiting: deque[Outgoing[T]] = deque()
        self._sent: deque[tuple[Outgoing[T], Any]] = deque()
        self._paused_until = 0.0
        self.problem: str | None = None

    def put(self, outgoing: Outgoing[T]) -> None:
        """Take one record; `send` sends it."""
        self._waiting.append(outgoing)

    def send(self, now_s: float) -> None:
        """Hand what waits to the producer, unless a send has just failed."""
        if now_s < self._paused_until:
            return
        while self._waiting:
            out = self._waiting[0]
            try:
                future = self._producer.send(out.topic, out.value, out.key, out.headers, out.partition)
            except KafkaError as error:  # no metadata: the broker is away
                self._fail(type(error).__name__, now_s)
                return
            self._sent.append((self._waiting.popleft(), future))

    def acknowledged(self, now_s: float) -> Iterator[tuple[T, int]]:
        """What the broker has, with its offset; failures go back to waiting.

        Only the settled front is looked at: the order of acknowledgements is that of sends within a partition, and a slow
        partition delays the others by one round trip, never loses them.
        """
        while self._sent and self._sent[0][1].is_done:
            out, future = self._sent.popleft()
            if future.succeeded():
                self.problem = None
                yield out.subject, future.value.offset
            else:
                self._fail(type(future.exception).__name__, now_s)
                self._waiting.append(out)

    def __len__(self) -> int:
        """Records without an acknowledgement."""
        return len(self._waiting) + len(self._sent)

    def _fail(self, error_class: str, now_s: float) -> None:
        if self.problem is None:
            _log.warning("a send failed and is repeated", error_class=error_class)
        self.problem = f"Kafka does not take records: {error_class}"
        self._paused_until = now_s + _PAUSE_AFTER_FAILURE_S
