"""Sends with their futures: a send counts when its future says so, and one that failed is sent again.

Promises (the second half of I2): `acknowledged` hands out only records that the broker acknowledged (acks=all), each once. The
producer's own memory is unbounded while a broker is away; what is kept here is bounded by the dispatcher's in-flight limit. A producer
that the cluster refuses for good raises, so that the process ends and whoever restarts it sees why.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kafka.errors import KafkaError

from services.errors import ConfigurationError
from services.messaging.clients import REFUSALS, is_dead
from services.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafka import KafkaProducer

__all__ = ["Outgoing", "Refused", "Sender"]

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


@dataclass(frozen=True, slots=True)
class Refused(Generic[T]):
    """A record that Kafka will never take, and why."""

    outgoing: Outgoing[T]
    problem: str


class Sender(Generic[T]):
    """Sends in the order of `put`, unless a send fails: then those after it may be there first. The loop's thread only."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self._waiting: deque[Outgoing[T]] = deque()
        self._sent: deque[tuple[Outgoing[T], Any]] = deque()
        self._refused: list[Refused[T]] = []
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
            except REFUSALS as error:
                self._refuse(self._waiting.popleft(), error)
            except KafkaError as error:  # no metadata: the broker is away
                self._fail(type(error).__name__, now_s)
                return
            else:
                self._sent.append((self._waiting.popleft(), future))

    def acknowledged(self, now_s: float) -> Iterator[tuple[T, int]]:
        """What the broker has, with its offset; failures go back to waiting.

        Only the settled front is looked at: the order of acknowledgements is that of sends within a partition, and a slow
        partition delays the others by one round trip, never loses them.

        Raises:
            ConfigurationError: this producer will never send anything again.
        """
        failed: list[Outgoing[T]] = []
        try:
            while self._sent and self._sent[0][1].is_done:
                out, future = self._sent.popleft()
                if future.succeeded():
                    self.problem = None
                    yield out.subject, future.value.offset
                elif isinstance(future.exception, REFUSALS):
                    self._refuse(out, future.exception)
                else:
                    self._fail(type(future.exception).__name__, now_s)
                    failed.append(out)
        finally:
            self._waiting.extendleft(reversed(failed))  # before what came later

    def refused(self) -> list[Refused[T]]:
        """Take what Kafka will never accept: sending it again would fail for ever, and hold up everything behind it."""
        refused, self._refused = self._refused, []
        return refused

    def discard(self, gone: Callable[[T], bool]) -> list[T]:
        """Forget records that were not handed to the producer and for whose subject `gone` holds; returns the subjects."""
        removed = [out.subject for out in self._waiting if gone(out.subject)]
        if removed:
            self._waiting = deque(out for out in self._waiting if not gone(out.subject))
        return removed

    def __len__(self) -> int:
        """Records without an acknowledgement."""
        return len(self._waiting) + len(self._sent) + len(self._refused)

    def _refuse(self, out: Outgoing[T], error: KafkaError) -> None:
        _log.warning("Kafka refuses a record", topic=out.topic, error_class=type(error).__name__)
        self._refused.append(Refused(out, f"Kafka refuses the record: {type(error).__name__}"))

    def under_way(self, of: Callable[[T], bool]) -> bool:
        """Whether the producer still holds records, without an answer, for whose subject `of` holds."""
        return any(not future.is_done and of(out.subject) for out, future in self._sent)

    def _fail(self, error_class: str, now_s: float) -> None:
        if is_dead(self._producer):
            raise ConfigurationError(f"Kafka refuses this producer for good ({error_class}): mend its permissions")
        if self.problem is None:
            _log.warning("a send failed and is repeated", error_class=error_class)
        self.problem = f"Kafka does not take records: {error_class}"
        self._paused_until = now_s + _PAUSE_AFTER_FAILURE_S
