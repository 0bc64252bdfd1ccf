"""What came out, read by somebody who is no part of the pipeline: an own Kafka consumer and an own SQL connection.

Nothing of `services.storage` or `services.messaging` is used: a fault there must not hide itself. Readers yield one thing after
the other and remember nothing, so a large run fits into memory.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from psycopg import sql

from services.events import topic_name
from tests.chaos.checker import DeadLetter, Effect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.capabilities import Capability
    from services.settings import Settings

__all__ = [
    "Target",
    "count_rows",
    "read_dead_records",
    "read_dead_rows",
    "read_events",
    "read_rows",
    "read_topic",
]

_ADDED = "dlq-"
_READ_PATIENCE_S = 120.0
_CALL_MS = 5_000


@dataclass(frozen=True, slots=True)
class Target:
    """One capability of one deployment, as a stranger finds it."""

    kafka: str
    postgres: str
    group: str
    input_topic: str
    dead_letter_topic: str
    output_topic: str
    table: str

    @classmethod
    def of(cls, settings: Settings, capability: Capability) -> Target:
        prefix = settings.topic_prefix
        return cls(
            kafka=settings.kafka_bootstrap,
            postgres=settings.postgres_dsn.get_secret_value(),
            group=settings.consumer_group,
            input_topic=topic_name(prefix, capability.input.topic),
            dead_letter_topic=topic_name(prefix, capability.input.dead_letter_topic),
            output_topic=topic_name(prefix, capability.output.topic),
            table=capability.table,
        )


# --- Postgres ---


def read_rows(target: Target, run: str) -> Iterator[Effect]:
    """Every row of this run in the result table."""
    query = sql.SQL(
        "SELECT event_id, decision_id::text, output_key, data::text FROM {} WHERE starts_with(event_id, %s)"
    ).format(sql.Identifier(target.table))
    for event_id, decision_id, key, data in _select(target, query, (run,)):
        yield Effect(event_id, decision_id, None if key is None else key.encode(), orjson.loads(data))


def read_dead_rows(target: Target) -> Iterator[DeadLetter]:
    """Every row of the dead letters of this input topic, of all runs: what is no event has no id to choose by."""
    query = sql.SQL(
        'SELECT partition, "offset", key, value, headers::text, reason, event_id FROM dead_letter WHERE topic = %s'
    )
    for partition, offset, key, value, headers, reason, event_id in _select(target, query, (target.input_topic,)):
        pairs = tuple((name, base64.b64decode(content)) for name, content in orjson.loads(headers))
        yield DeadLetter((partition, offset), key, value, pairs, reason, event_id)


def count_rows(target: Target, run: str) -> int:
    """How many rows there are by now, with the dead letters of the input topic that came since the run began.

    Raises:
        psycopg.Error: Postgres is away.
    """
    query = sql.SQL(
        "SELECT (SELECT count(*) FROM {} WHERE starts_with(event_id, %(run)s)) + (SELECT count(DISTINCT value) FROM dead_letter"
        " WHERE topic = %(topic)s AND position(convert_to(%(run)s, 'UTF8') IN value) > 0)"
    ).format(sql.Identifier(target.table))
    with psycopg.connect(target.postgres, connect_timeout=2, options="-c statement_timeout=5000") as connection:
        row = connection.execute(query, {"run": run, "topic": target.input_topic}).fetchone()
    return int(row[0]) if row else 0


def _select(target: Target, query: sql.SQL | sql.Composed, parameters: tuple[object, ...]) -> Iterator[tuple[Any, ...]]:
    with psycopg.connect(target.postgres, connect_timeout=5) as connection, connection.cursor("checker") as cursor:
        cursor.itersize = 2000
        cursor.execute(query, parameters)
        yield from cursor


# --- Kafka ---


def read_events(target: Target) -> Iterator[Effect]:
    """Every record of the output topic. One that is no decision comes with its coordinates in place of an id."""
    for record in read_topic(target, target.output_topic):
        try:
            event = orjson.loads(record.value)
            data = event["data"]
            yield Effect(data["event_id"], event["id"], record.key, data)
        except (ValueError, KeyError, TypeError):
            yield Effect(f"{record.topic}[{record.partition}] {record.offset}", "", record.key, {})


def read_dead_records(target: Target) -> Iterator[DeadLetter]:
    """Every record of the dead-letter topic.

    Raises:
        KeyError, ValueError: a record does not say where it comes from, which is a fault of the pipeline.
    """
    for record in read_topic(target, target.dead_letter_topic):
        added = {name: value for name, value in record.headers if name.startswith(_ADDED)}
        original = tuple((name, value) for name, value in record.headers if not name.startswith(_ADDED))
        origin = (int(added[f"{_ADDED}partition"]), int(added[f"{_ADDED}offset"]))
        yield DeadLetter(origin, record.key, record.value, original, added.get(f"{_ADDED}reason", b"").decode())


class Lag:
    """Counts the records of the input topic that the group has not committed. Keeps its connection; `close` it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._consumer: KafkaConsumer | None = None

    def now(self) -> int | None:
        """None while Kafka does not answer."""
        try:
            self._consumer = consumer = self._consumer or KafkaConsumer(
                bootstrap_servers=self._target.kafka,
                group_id=self._target.group,
                enable_auto_commit=False,
                reconnect_backoff_max_ms=500,
                metrics_enabled=False,
            )
            partitions = _partitions(consumer, self._target.input_topic)
            ends: Mapping[TopicPartition, int] = consumer.end_offsets(partitions, timeout_ms=_CALL_MS)
            return sum(end - (consumer.committed(p, timeout_ms=_CALL_MS) or 0) for p, end in ends.items())
        except (KafkaError, TimeoutError):
            return None

    def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False)


def read_topic(target: Target, topic: str) -> Iterator[Any]:
    """From the first record to what is the end now."""
    consumer = KafkaConsumer(
        bootstrap_servers=target.kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=2000,
        metrics_enabled=False,
    )
    try:
        partitions = _partitions(consumer, topic)
        ends = consumer.end_offsets(partitions, timeout_ms=_CALL_MS)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        give_up_at = time.monotonic() + _READ_PATIENCE_S
        while any(consumer.position(p, timeout_ms=_CALL_MS) < end for p, end in ends.items()):
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"the topic {topic} could not be read to its end in {_READ_PATIENCE_S:.0f} s")
            for records in consumer.poll(timeout_ms=500).values():
                yield from records
    finally:
        consumer.close(autocommit=False)


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise TimeoutError(f"the topic {topic} does not exist, or Kafka does not know it yet")
    return [TopicPartition(topic, number) for number in sorted(found)]
