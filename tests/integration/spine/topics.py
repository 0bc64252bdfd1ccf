"""Reading and writing a deployment's topics in tests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    MetadataEmptyBrokerList,
    NotCoordinatorError,
)
from kafka.structs import TopicPartition

from services.messaging import admin_client, close_producer, partition_reader, producer
from services.settings import Settings

__all__ = ["Record", "Topics", "review_event", "toy_event"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent in it."""
        event: dict[str, Any] = json.loads(self.value or b"")
        return event

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.event["data"]
        return data

    def header(self, name: str) -> str:
        """The last header of this name, as text."""
        return dict(self.headers)[name].decode()


def toy_event(text: str, event_id: str | None = None, **attributes: Any) -> bytes:
    """A whole event for the toy capability."""
    event_id = event_id or str(uuid4())
    return _event("tidegate.toy.requested.v1", event_id, {"toy_id": event_id[:100], "text": text}, attributes)


def review_event(
    text: str, event_id: str | None = None, *, data: Mapping[str, Any] | None = None, **attributes: Any
) -> bytes:
    """A whole event for review."""
    event_id = event_id or str(uuid4())
    content = {"content_id": event_id[:100], "author_id": "author-1", "text": text, **(data or {})}
    return _event("tidegate.content.submitted.v1", event_id, content, attributes)


def _event(type_: str, event_id: str, data: Mapping[str, Any], attributes: Mapping[str, Any]) -> bytes:
    event = {"specversion": "1.0", "id": event_id, "source": "test", "type": type_, "data": data, **attributes}
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")


class Topics:
    """A client of one deployment; close it. Topic names are without the prefix."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.topic_prefix
        self.open()

    def open(self) -> None:
        """Connect, again if need be: an open client that finds no broker leaves unclosed sockets, which pytest would report."""
        self.producer: KafkaProducer = producer(self._settings, "test")
        self._reader: KafkaConsumer = partition_reader(self._settings, "test")

    def close(self) -> None:
        close_producer(self.producer, 5)
        self._reader.close()

    def send(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        key: bytes | None = b"author-1",
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> list[tuple[int, int]]:
        """Publish; returns partition and offset of each, acknowledged."""
        futures = [
            self.producer.send(self._prefix + topic, value, key, list(headers), partition, timestamp_ms)
            for value in values
        ]
        sent = [future.get(timeout=60) for future in futures]
        return [(metadata.partition, metadata.offset) for metadata in sent]

    def ends(self, topic: str) -> dict[int, int]:
        """Where each partition ends now: for `read(since=...)`."""
        partitions = self._partitions(topic)
        ends = self._reader.end_offsets(partitions, timeout_ms=30_000)
        return {partition.partition: ends[partition] for partition in partitions}

    def read(self, topic: str, *, since: Mapping[int, int] | None = None) -> list[Record]:
        """Everything that is in the topic now, or what came after `since`."""
        partitions = self._partitions(topic)
        self._reader.assign(partitions)
        ends = self._reader.end_offsets(partitions, timeout_ms=30_000)
        for partition in partitions:
            self._reader.seek(partition, since.get(partition.partition, 0) if since else 0)
        found: list[Record] = []
        while any(self._reader.position(p, timeout_ms=30_000) < ends[p] for p in partitions):
            for records in self._reader.poll(timeout_ms=200).values():
                found += [Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in records]
        return found

    def _partitions(self, topic: str) -> list[TopicPartition]:
        name = self._prefix + topic
        give_up_at = time.monotonic() + 30
        while True:
            try:
                return [
                    TopicPartition(name, number) for number in sorted(self._reader.partitions_for_topic(name) or ())
                ]
            except MetadataEmptyBrokerList:  # a broker that was away answers before its controller has it back
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.1)

    def committed(self, topic: str) -> dict[int, int]:
        """The group's committed offset of each partition that has one."""
        admin = admin_client(self._settings, "test")
        try:
            offsets = admin.list_group_offsets({self._settings.consumer_group: None})[self._settings.consumer_group]
        except (CoordinatorNotAvailableError, NotCoordinatorError, CoordinatorLoadInProgressError):
            # No group was ever here, or the broker has just started and has not read its groups yet.
            return {}
        finally:
            admin.close()
        return {p.partition: o.offset for p, o in offsets.items() if p.topic == self._prefix + topic}

    def members(self) -> int:
        """How many consumers are in the group, as its coordinator knows."""
        admin = admin_client(self._settings, "test")
        try:
            group = admin.describe_groups([self._settings.consumer_group])[self._settings.consumer_group]
            return len(group["members"])
        finally:
            admin.close()
