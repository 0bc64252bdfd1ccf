"""Sending many records from a file or a table: bounded memory, and every record's acknowledgement looked at.

Promises: a `Delivery` says either where the broker has the record (acks=all) or that it will never take it; every record that
was sent becomes one delivery, or `TransientError` is raised. It does not keep the order of records across a send that had to be
repeated, and a repeated send may leave two copies: events carry ids for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, RecordListTooLargeError

from services.errors import TransientError
from services.messaging.clients import REFUSALS, close_producer, producer

if TYPE_CHECKING:
    from services.settings import Settings

__all__ = ["Delivery", "Publisher"]

T = TypeVar("T")

_MAX_RECORDS = 2_000
_MAX_BYTES = 16 * 1024 * 1024
#: A broker that restarts can fail records of an idempotent producer; the next attempt has a new session.
_ATTEMPTS = 3
#: Above the producer's own delivery timeout, which ends the wait.
_WAIT_S = 150.0


@dataclass(frozen=True, slots=True)
class Delivery(Generic[T]):
    """What became of one record. `refused` says why Kafka will never take it; then there is no offset."""

    subject: T
    partition: int = -1
    offset: int = -1
    refused: str | None = None


@dataclass(slots=True)
class _Sent(Generic[T]):
    subject: T
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    future: Any = None
    attempts: int = 0

    @property
    def size_bytes(self) -> int:
        return len(self.value or b"") + len(self.key or b"")


class Publisher(Generic[T]):
    """A producer with a window. One thread only; a context manager that closes the producer.

    Raises:
        TransientError: from any method, the constructor included: Kafka does not answer or does not take records. A topic
            that does not exist looks the same: see `require_topic`.
    """

    def __init__(self, settings: Settings, client_id: str) -> None:
        self._where = settings.kafka_bootstrap
        self._window: deque[_Sent[T]] = deque()
        self._bytes = 0
        try:
            self._producer = producer(settings, client_id, linger_ms=10)
        except KafkaError as error:
            raise self._away(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_producer(self._producer, 1.0)

    def send(
        self,
        subject: T,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> list[Delivery[T]]:
        """Send one record; returns the deliveries that are known by now, in order. Waits while the window is full."""
        if key is None and value is None:
            key = b""  # Kafka's client refuses a record with neither
        sent = _Sent(subject, topic, key, value, list(headers))
        deliveries = self._attempt(sent)
        while self._window and (
            len(self._window) > _MAX_RECORDS or self._bytes > _MAX_BYTES or self._window[0].future.is_done
        ):
            deliveries += self._settle_first()
        return deliveries

    def drain(self) -> Iterator[Delivery[T]]:
        """The deliveries of everything that was sent, as they come in."""
        while self._window:
            yield from self._settle_first()

    def _attempt(self, sent: _Sent[T]) -> list[Delivery[T]]:
        sent.attempts += 1
        try:
            sent.future = self._producer.send(sent.topic, sent.value, sent.key, sent.headers)
        except REFUSALS as error:
            return [Delivery(sent.subject, refused=_sentence(error))]
        except KafkaError as error:
            raise self._away(error) from error
        self._window.append(sent)
        self._bytes += sent.size_bytes
        return []

    def _settle_first(self) -> list[Delivery[T]]:
        """Wait for the oldest send."""
        sent = self._window[0]
        try:
            metadata = sent.future.get(timeout=_WAIT_S)
        except REFUSALS as error:
            self._forget_first()
            return [Delivery(sent.subject, refused=_sentence(error))]
        except KafkaError as error:
            if isinstance(error, KafkaTimeoutError) or sent.attempts >= _ATTEMPTS:
                raise self._away(error) from error
            self._forget_first()
            return self._attempt(sent)
        self._forget_first()
        return [Delivery(sent.subject, metadata.partition, metadata.offset)]

    def _forget_first(self) -> None:
        self._bytes -= self._window.popleft().size_bytes

    def _away(self, error: KafkaError) -> TransientError:
        return TransientError(f"Kafka at {self._where} does not take records ({type(error).__name__})")


def _sentence(error: KafkaError) -> str:
    """Without the client's own words: they may show the record."""
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return "the record is larger than Kafka takes"
    return "Kafka refuses the record as invalid"
