"""Reading a whole topic, for tests that look at what was sent."""

from __future__ import annotations

from dataclasses import dataclass

from services.events import topic_name
from services.messaging import TopicPartition, partition_reader
from services.settings import Settings

__all__ = ["Read", "read_topic"]


@dataclass(frozen=True, slots=True)
class Read:
    """One record."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def read_topic(settings: Settings, topic: str) -> list[Read]:
    """Every record that is in `topic` (without the prefix) now, by partition and offset."""
    reader = partition_reader(settings, "test-reader")
    try:
        name = topic_name(settings.topic_prefix, topic)
        partitions = [TopicPartition(name, number) for number in range(settings.topic_partitions)]
        reader.assign(partitions)
        reader.seek_to_beginning(*partitions)
        ends = reader.end_offsets(partitions)
        records: list[Read] = []
        while any(reader.position(partition) < ends[partition] for partition in partitions):
            for found in reader.poll(timeout_ms=200).values():
                records += [Read(r.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in found]
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        reader.close()
