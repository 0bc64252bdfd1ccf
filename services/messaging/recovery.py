"""What a predecessor published and did not live to commit: read from the output topic, so that nothing is published twice.

A dispatcher that is killed leaves results on the output topic whose input offsets it had not committed; the next owner gets
those records again. Every commit carries the output floor (see `PartitionLedger`), and results of input partition p go to
output partition p modulo the number of output partitions; so the tail of that one partition, from the floor on, names every
result that must not be sent again. Promises: after `recover`, a result that was acknowledged before the partition changed hands
is not published again by this owner. It cannot see a send that a frozen predecessor makes later.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata, TopicPartition

from services.errors import TransientError
from services.messaging.clients import partition_reader
from services.messaging.ledger import Watermark
from services.telemetry import get_logger

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from services.settings import Settings

__all__ = ["Recovered", "output_partition", "recover"]

_log = get_logger(__name__)

_TIMEOUT_S = 30.0
_CALL_MS = 5_000

#: Per input partition: the output floor to go on from, and the ids that are published already.
Recovered = tuple[int, set[str]]


def output_partition(input_partition: int, output_partitions: int) -> int:
    """Where results of an input partition go: the same number where the topics match, so authors keep their order."""
    return input_partition % output_partitions


def recover(
    consumer: KafkaConsumer, settings: Settings, outputs: dict[TopicPartition, TopicPartition]
) -> dict[TopicPartition, Recovered]:
    """For each input partition (→ its output partition), what was published above its committed watermark.

    A partition that was never committed gets its first commit here, with the end of the output as its floor, before anything
    of it is published: so there is always a floor to read.

    Raises:
        TransientError: Kafka did not answer; nothing may be published for these partitions yet.
    """
    try:
        ends = consumer.end_offsets(list(set(outputs.values())), timeout_ms=_CALL_MS)
        found: dict[TopicPartition, Recovered] = {}
        first: dict[TopicPartition, OffsetAndMetadata] = {}
        to_read: dict[TopicPartition, int] = {}
        for source, target in outputs.items():
            committed = consumer.committed(source, metadata=True, timeout_ms=_CALL_MS)
            floor = Watermark.floor_from(committed.metadata) if committed is not None else None
            if floor is None or floor > ends[target]:  # never committed, or the output topic was made anew
                floor = ends[target]
                offset = committed.offset if committed is not None else consumer.position(source, timeout_ms=_CALL_MS)
                if offset is None:
                    raise TransientError(f"no position for {source.topic}[{source.partition}] yet")
                first[source] = OffsetAndMetadata(offset, Watermark(offset, floor).metadata(), -1)
            elif floor < ends[target]:
                to_read[target] = min(floor, to_read.get(target, floor))
            found[source] = (floor, set())
        if first:
            consumer.commit(first, timeout_ms=_CALL_MS)
        if to_read:
            published = _read(settings, to_read, ends)
            for source, target in outputs.items():
                if target in published:
                    found[source] = (found[source][0], published[target])
    except KafkaError as error:
        raise TransientError(f"Kafka: recovery: {type(error).__name__}") from error
    return found


def _read(
    settings: Settings, floors: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, set[str]]:
    """Ids of the events of each partition from its floor to its end."""
    give_up_at = time.monotonic() + _TIMEOUT_S
    published: dict[TopicPartition, set[str]] = {target: set() for target in floors}
    reader = partition_reader(settings, "tidegate-recovery")
    try:
        reader.assign(list(floors))
        for target, floor in floors.items():
            reader.seek(target, floor)
        while open_ends := [t for t in floors if reader.position(t, timeout_ms=_CALL_MS) < ends[t]]:
            if time.monotonic() > give_up_at:
                raise TransientError(
                    f"Kafka: reading {len(open_ends)} output partitions took longer than {_TIMEOUT_S:.0f} s"
                )
            for target, records in reader.poll(timeout_ms=200).items():
                published[target].update(filter(None, (_event_id(r.value) for r in records)))
    finally:
        reader.close()
    _log.info("read what was published before", partitions=len(floors), events=sum(map(len, published.values())))
    return published


def _event_id(value: bytes | None) -> str | None:
    """The CloudEvent's id, or None for a record that is not ours."""
    try:
        event = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    found = event.get("id") if isinstance(event, dict) else None
    return found if isinstance(found, str) else None
