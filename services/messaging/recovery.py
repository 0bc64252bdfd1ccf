"""What a predecessor published and did not live to commit: read from the output topic, so that nothing is published twice.

A dispatcher that is killed leaves results on the output topic whose input offsets it had not committed; the next owner gets
those records again. Every commit carries the output floor (see `PartitionLedger`), and results of input partition p go to
output partition p modulo the number of output partitions; so the tail of that one partition, from the floor on, names every
result that must not be sent again; a header on each says which record it answers. Promises: after `recover`, a result that was
acknowledged before the partition changed hands is not published again by this owner, nor by any later one. Where the committed
offset is gone (Kafka forgets those of a group that was away for a week, and people reset them), that holds for the newest
`MOST_UNCOMMITTED` results. It cannot see a send that a frozen predecessor makes later.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
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

__all__ = ["INPUT_HEADER", "MOST_UNCOMMITTED", "Recovered", "input_header", "output_partition", "recover"]

_log = get_logger(__name__)

_TIMEOUT_S = 30.0
_CALL_MS = 5_000

#: Results that are read, of all partitions together, where no commit says from where on: few enough for the time limit, and for a set.
MOST_UNCOMMITTED = 100_000

#: The Kafka header of a result that names the record it answers, as `partition:offset`.
INPUT_HEADER = "tidegate-input"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What is known of one input partition when it is taken over."""

    #: Its committed offset.
    next_input: int
    #: From here on its output partition holds nothing that a predecessor sent.
    output_floor: int
    #: Ids of the results that are published already.
    published: set[str] = field(default_factory=set)
    #: Where they are, for records that will come again: input offset → output offset.
    outputs: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Published:
    event_id: str
    output_offset: int
    #: Partition and offset of the record that it answers; None for an event without the header.
    answers: tuple[int, int] | None


def input_header(partition: int, offset: int) -> tuple[str, bytes]:
    """The header for a result of this record."""
    return (INPUT_HEADER, b"%d:%d" % (partition, offset))


def output_partition(input_partition: int, output_partitions: int) -> int:
    """Where results of an input partition go: the same number where the topics match, so authors keep their order."""
    return input_partition % output_partitions


def recover(
    consumer: KafkaConsumer, settings: Settings, outputs: dict[TopicPartition, TopicPartition]
) -> dict[TopicPartition, Recovered]:
    """For each input partition (→ its output partition), what was published above its committed watermark.

    A partition without a commit gets one here, with what was read of the output as its floor, before anything of it is published:
    so there is always a floor to read.

    Raises:
        TransientError: Kafka did not answer; nothing may be published for these partitions yet.
    """
    try:
        ends = _ends(consumer, set(outputs.values()))
        next_inputs: dict[TopicPartition, int] = {}
        unknown: list[TopicPartition] = []
        to_read: dict[TopicPartition, int] = {}
        for source, target in outputs.items():
            committed = consumer.committed(source, metadata=True, timeout_ms=_CALL_MS)
            floor = Watermark.floor_from(committed.metadata) if committed is not None else None
            offset = committed.offset if committed is not None else consumer.position(source, timeout_ms=_CALL_MS)
            if offset is None:
                raise TransientError(f"no position for {source.topic}[{source.partition}] yet")
            next_inputs[source] = offset
            if floor is None or floor > ends[target]:  # never committed, or the output topic was made anew
                unknown.append(source)
            elif floor < ends[target]:
                to_read[target] = min(floor, to_read.get(target, floor))
        if unknown:
            starts = _starts(consumer, {outputs[source] for source in unknown}, ends)
            first = {
                source: OffsetAndMetadata(
                    next_inputs[source], Watermark(next_inputs[source], starts[outputs[source]]).metadata(), -1
                )
                for source in unknown
            }
            consumer.commit(first, timeout_ms=_CALL_MS)
            for target, start in starts.items():
                if start < ends[target]:
                    to_read[target] = min(start, to_read.get(target, start))
        published = _read(settings, to_read, ends) if to_read else {}
    except KafkaError as error:
        raise TransientError(f"Kafka: recovery: {type(error).__name__}") from error
    return {
        source: _recovered(source, next_inputs[source], ends[target], published.get(target, []))
        for source, target in outputs.items()
    }


def _starts(
    consumer: KafkaConsumer, targets: Collection[TopicPartition], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Where reading begins in output partitions of which no commit says it: at their beginning, unless that is too far back."""
    starts: dict[TopicPartition, int] = {}
    for topic in {target.topic for target in targets}:
        starts |= consumer.beginning_offsets([t for t in targets if t.topic == topic], timeout_ms=_CALL_MS)
    room = MOST_UNCOMMITTED // len(targets)
    for target, start in starts.items():
        if ends[target] - start > room:
            starts[target] = ends[target] - room
            _log.warning(
                "no committed offset: results before this one may be published a second time",
                topic=target.topic, partition=target.partition, offset=starts[target],
            )  # fmt: skip
    return starts


def _ends(consumer: KafkaConsumer, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """Asked topic by topic: kafka-python 3.0.12 raises KeyError for topics of which it knows only some already."""
    ends: dict[TopicPartition, int] = {}
    for topic in {partition.topic for partition in partitions}:
        ends |= consumer.end_offsets([p for p in partitions if p.topic == topic], timeout_ms=_CALL_MS)
    return ends


def _recovered(source: TopicPartition, next_input: int, output_end: int, published: Sequence[_Published]) -> Recovered:
    """Of what is published, the part that answers records of `source` which will be delivered again."""
    ours = [
        e for e in published if e.answers is None or (e.answers[0] == source.partition and e.answers[1] >= next_input)
    ]
    outputs = {e.answers[1]: e.output_offset for e in ours if e.answers is not None}
    return Recovered(next_input, output_end, {e.event_id for e in ours}, outputs)


def _read(
    settings: Settings, floors: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, list[_Published]]:
    """The events of each partition from its floor to its end."""
    give_up_at = time.monotonic() + _TIMEOUT_S
    published: dict[TopicPartition, list[_Published]] = {target: [] for target in floors}
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
                for record in records:
                    event_id = _event_id(record.value)
                    if event_id is not None and record.offset < ends[target]:
                        published[target].append(_Published(event_id, record.offset, _answers(record.headers)))
    finally:
        reader.close()
    _log.info("read what was published before", partitions=len(floors), events=sum(map(len, published.values())))
    return published


def _answers(headers: Sequence[tuple[str, bytes | None]]) -> tuple[int, int] | None:
    """Partition and offset of the record that an event answers."""
    for name, content in headers:
        partition, _, offset = (content or b"").partition(b":")
        if name == INPUT_HEADER and partition.isdigit() and offset.isdigit():
            return int(partition), int(offset)
    return None


def _event_id(value: bytes | None) -> str | None:
    """The CloudEvent's id, or None for a record that is not ours."""
    try:
        event = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    found = event.get("id") if isinstance(event, dict) else None
    return found if isinstance(found, str) else None
