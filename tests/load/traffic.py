"""A publisher and a consumer of decisions, for measuring from outside: what a user of the topics would see.

A burst measures throughput: from the first send until the last decision has arrived, which is then durable in Postgres and
acknowledged by Kafka. A trickle measures latency: each event's own send until its decision arrives. Both check afterwards that
every event was decided exactly once; a benchmark of a pipeline that loses messages would be worth nothing.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from services.events import topic_name

if TYPE_CHECKING:
    from services.capabilities import Capability
    from services.settings import Settings

__all__ = ["Record", "Traffic", "review_records"]

_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Record:
    """One event, encoded before the clock starts."""

    event_id: str
    key: bytes
    value: bytes


def review_records(texts: Sequence[str]) -> list[Record]:
    """New events of `content.submitted` for these texts, of 500 authors."""
    records = []
    for number, text in enumerate(texts):
        event_id = str(uuid.uuid4())
        data = {"content_id": f"content-{number}", "author_id": f"author-{number % 500}", "text": text}
        value = {
            "specversion": "1.0",
            "id": event_id,
            "source": "tidegate/bench",
            "type": "tidegate.content.submitted.v1",
            "data": data,
        }
        records.append(Record(event_id, data["author_id"].encode(), orjson.dumps(value)))
    return records


class Traffic:
    """Clients of one capability's topics. A context manager."""

    def __init__(self, settings: Settings, capability: Capability) -> None:
        self._topic = topic_name(settings.topic_prefix, capability.input.topic)
        output = topic_name(settings.topic_prefix, capability.output.topic)
        # No lingering: the latency of the pipeline is asked for, not that of a publisher that waits for company.
        self._producer = KafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            acks="all",
            linger_ms=0,
            batch_size=131_072,
            metrics_enabled=False,
        )
        self._consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=None,
            enable_auto_commit=False,
            max_poll_records=2000,
            metrics_enabled=False,
        )
        partitions = [TopicPartition(output, number) for number in self._consumer.partitions_for_topic(output) or ()]
        if not partitions:
            raise TimeoutError(f"Kafka at {settings.kafka_bootstrap} does not tell the partitions of {output}")
        self._consumer.assign(partitions)
        self._consumer.seek_to_end(*partitions)
        for partition in partitions:
            self._consumer.position(partition)
        self._arrived: list[tuple[float, bytes]] = []
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._consume, name="bench-consumer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self._consumer.close()
        self._producer.close(timeout=5)

    def burst(self, records: Sequence[Record]) -> float:
        """Publish all at once; seconds until the last decision is here."""
        self._arrived = []
        started = time.perf_counter()
        sends = [self._producer.send(self._topic, record.value, record.key) for record in records]
        self._wait(len(records), sends)
        self._check(records)
        return self._arrived[len(records) - 1][0] - started

    def trickle(self, records: Sequence[Record], per_second: float) -> list[float]:
        """Publish evenly; seconds from each send to its decision."""
        self._arrived = []
        sent: dict[str, float] = {}
        sends = []
        started = time.perf_counter()
        for number, record in enumerate(records):
            time.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            sent[record.event_id] = time.perf_counter()
            sends.append(self._producer.send(self._topic, record.value, record.key))
        self._wait(len(records), sends)
        self._check(records)
        return [at - sent[_event_id(value)] for at, value in self._arrived]

    def _consume(self) -> None:
        try:
            while not self._stop.is_set():
                for records in self._consumer.poll(timeout_ms=200).values():
                    now = time.perf_counter()
                    self._arrived += [(now, record.value) for record in records]
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            self._error = error

    def _wait(self, count: int, sends: Sequence[Any]) -> None:
        seen, since = -1, time.monotonic()
        while len(self._arrived) < count:
            if self._error is not None:
                raise self._error
            if len(self._arrived) != seen:
                seen, since = len(self._arrived), time.monotonic()
            elif time.monotonic() - since > _PATIENCE_S:
                taken = sum(send.is_done and send.succeeded() for send in sends)
                raise TimeoutError(
                    f"Kafka took {taken} of {count} events, {seen} decisions came, and then none for {_PATIENCE_S:.0f} s"
                )
            time.sleep(0.002)

    def _check(self, records: Sequence[Record]) -> None:
        found = sorted(_event_id(value) for _, value in self._arrived)
        if found != sorted(record.event_id for record in records):
            raise AssertionError(
                f"{len(records)} events were published and {len(found)} decisions about {len(set(found))} of them came"
            )


def _event_id(value: bytes) -> str:
    event: dict[str, Any] = orjson.loads(value)
    return str(event["data"]["event_id"])
