"""A dispatcher whose surroundings do what the test says: Kafka, Postgres and the broker in memory, one round at a time.

Held to the real parts' contract by tests/contract.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import CommitFailedError, IllegalStateError, MessageSizeTooLargeError

from consumers.dispatcher.loop import Dispatcher, Ports
from consumers.work_order import WorkOrder
from services.errors import TransientError
from services.messaging import KafkaError, TopicPartition
from services.settings import Settings
from services.storage import (
    BatchBoard,
    DeadLetter,
    DeadLetterStore,
    FinishedBatch,
    ResultStore,
    StoredResult,
    WorkerSign,
)
from services.telemetry import Health
from tests.toy.capability import TOY
from tests.unit.dispatcher.made import MadeRecord

__all__ = ["INPUT", "Kafka", "Postgres", "World", "toy_value"]

INPUT = TopicPartition("toy.requested", 0)
_TOPICS = {INPUT.topic, "toy.answered", "toy.requested.dlq"}
#: More than this a producer does not send.
_LARGEST = 2 * 1024 * 1024
_NOW = 1_795_521_600.0


def toy_value(event_id: str, text: str = "fine", **attributes: Any) -> bytes:
    """An event for the toy capability."""
    data = {"toy_id": event_id, "text": text}
    whole = {"specversion": "1.0", "id": event_id, "source": "s", "type": TOY.input.type, "data": data, **attributes}
    return json.dumps(whole).encode()


class Kafka:
    """Consumer and producer of one input partition."""

    def __init__(self) -> None:
        self.log: list[Any] = []  # of the input: values that somebody published, and what `send` made of ours
        self.position_at = 0
        self.committed_at: Any = None
        self.commits: list[tuple[int, str]] = []
        self.published: list[tuple[str, bytes | None, list[tuple[str, bytes]]]] = []
        self.silent_output = False
        self.closed = False
        self.futures: list[_Future] = []
        self.paused_now: set[TopicPartition] = set()
        self.assigned: set[TopicPartition] = set()
        self.will_assign = False
        self.will_revoke: str | None = None
        self._generation = -1
        self._listener: Any = None
        self._answers: list[Callable[[], None]] = []

    # --- consumer ---

    def subscribe(self, topics: Sequence[str], listener: Any) -> None:
        self._listener = listener
        self.will_assign = True

    def crash(self) -> None:
        """The member is gone; whoever subscribes next is a new one."""
        self._generation = -1
        self._give_away()

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[MadeRecord]]:
        """A rebalance and records may come out of one and the same poll."""
        self._give_answers()
        if self.will_revoke:
            if self.will_revoke == "lost":
                self._generation = -1
            asyncio.run(getattr(self._listener, f"on_partitions_{self.will_revoke}")([INPUT]))
            self._give_away()
            self.will_revoke = None
        if self.will_assign:
            self.will_assign = False
            self._generation = max(self._generation, 0) + 1
            self.assigned.add(INPUT)
            self.position_at = self.committed_at.offset if self.committed_at else 0
            asyncio.run(self._listener.on_partitions_assigned([INPUT]))
        if not self.assigned or self.paused_now or self.position_at >= len(self.log):
            return {}
        records = [v if isinstance(v, MadeRecord) else MadeRecord(n, value=v) for n, v in enumerate(self.log)]
        records = records[self.position_at :]
        self.position_at = len(self.log)
        return {INPUT: records}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self.assigned:
            raise ValueError("Unassigned partition")
        self.position_at = offset

    def position(self, partition: TopicPartition, timeout_ms: int | None = None) -> int:
        self._owned(partition)
        return self.position_at

    def highwater(self, partition: TopicPartition) -> int:
        self._owned(partition)
        return len(self.log)

    def committed(self, partition: TopicPartition, metadata: bool, timeout_ms: int) -> Any:  # noqa: FBT001 - kafka-python's
        return self.committed_at

    def beginning_offsets(self, partitions: Iterable[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Iterable[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return {partition: self._end(partition.topic) for partition in partitions}

    def commit(self, offsets: dict[TopicPartition, Any], timeout_ms: int) -> None:
        if self._generation < 0:
            raise CommitFailedError("not a member of the group")
        for offset in offsets.values():
            self.committed_at = offset
            self.commits.append((offset.offset, offset.metadata))

    def commit_async(
        self, offsets: dict[TopicPartition, Any], callback: Callable[[Any, Any], None] | None = None
    ) -> _Future:
        """The answer is given to `callback` inside the next poll or commit."""
        self._give_answers()
        future = _Future()
        try:
            self.commit(offsets, 0)
        except KafkaError as error:
            future = _Future(exception=error)
        if callback is not None:
            self._answers.append(partial(callback, offsets, future.exception))
        return future

    def _give_answers(self) -> None:
        answers, self._answers = self._answers, []
        for give in answers:
            give()

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0} if topic in _TOPICS else set()

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused_now |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused_now -= set(partitions)

    def paused(self) -> set[TopicPartition]:
        return set(self.paused_now)

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def group_metadata(self) -> Any:
        return SimpleNamespace(generation_id=self._generation)

    def _give_away(self) -> None:
        self.assigned.clear()
        self.paused_now.clear()

    def _owned(self, partition: TopicPartition) -> None:
        if partition not in self.assigned:
            raise IllegalStateError("Partition is not assigned")

    # --- producer ---

    def send(self, topic: str, value: bytes | None, key: Any, headers: Any, partition: Any) -> _Future:
        if len(value or b"") > _LARGEST:
            raise MessageSizeTooLargeError("larger than max_request_size")
        offset = self._end(topic)
        if topic == INPUT.topic:
            self.log.append(MadeRecord(offset, value=value, key=key, headers=headers))
        else:
            self.published.append((topic, value, headers))
        self.futures.append(_Future(SimpleNamespace(offset=offset), is_done=not self.silent_output))
        return self.futures[-1]

    def close(self, timeout: float) -> None:
        self.closed = True

    def acknowledge(self) -> None:
        """The broker has everything that was sent."""
        for future in self.futures:
            future.is_done = True

    def results(self) -> list[str]:
        """Event ids of the published results, in order."""
        return [json.loads(v or b"")["data"]["event_id"] for t, v, _ in self.published if t == "toy.answered"]

    def _end(self, topic: str) -> int:
        return len(self.log) if topic == INPUT.topic else sum(one == topic for one, _, _ in self.published)


@dataclass
class _Future:
    """Of a send or of a commit, which can be awaited."""

    value: Any = None
    is_done: bool = True
    exception: KafkaError | None = None

    def succeeded(self) -> bool:
        return self.is_done and self.exception is None

    def __await__(self) -> Iterator[Any]:
        if self.exception is not None:
            raise self.exception
        return iter(())


class Postgres:
    """Rows, markers and signs of life. What a worker writes is written here by `World.work`, or by the test itself."""

    def __init__(self) -> None:
        self.away = False
        self.rows: dict[str, StoredResult] = {}
        self.markers: dict[str, FinishedBatch] = {}
        self.letters: list[DeadLetter] = []
        self.running: set[str] = set()
        self.begun: set[str] = set()
        self.workers = 1  # each of which says the same
        self.problem: str | None = None

    def _reach(self) -> None:
        if self.away:
            raise TransientError("Postgres: it is away")

    # --- the dispatcher's side ---

    def finished(self, ids: Iterable[str]) -> list[FinishedBatch]:
        self._reach()
        return [self.markers[i] for i in ids if i in self.markers]

    def signs(self) -> list[WorkerSign]:
        self._reach()
        return [WorkerSign(f"w{n}", frozenset(self.running), self.problem) for n in range(self.workers)]

    def was_started(self, batch_id: str) -> bool:
        self._reach()
        return batch_id in self.begun

    def sweep(self) -> None:
        self._reach()

    def read(self, ids: Iterable[str]) -> dict[str, StoredResult]:
        self._reach()
        return {i: self.rows[i] for i in ids if i in self.rows}

    def add(self, letters: Sequence[DeadLetter]) -> None:
        self._reach()
        for letter in letters:
            if letter.id not in {known.id for known in self.letters}:
                self.letters.append(letter)

    # --- the worker's side ---

    def existing(self, ids: Iterable[str]) -> set[str]:
        return set(self.read(ids))

    def store(self, batch_id: str, rows_json: str, rejects_json: str) -> None:
        self._reach()
        for row in json.loads(rows_json):
            self.rows.setdefault(row["decision_id"], _stored(row))
        rejects = [(place, reason, message) for place, reason, message in json.loads(rejects_json)]
        self.markers[batch_id] = FinishedBatch(batch_id, "done", rejects, "")

    def give_up(self, batch_id: str, outcome: str, detail: str) -> None:
        self._reach()
        self.markers.setdefault(batch_id, FinishedBatch(batch_id, outcome, [], detail[:1000]))

    def started(self, batch_id: str, worker: str) -> None:
        self._reach()
        self.begun.add(batch_id)

    def beat(self, worker: str, running: Iterable[str], problem: str | None) -> None:
        self._reach()
        self.workers, self.running, self.problem = 1, set(running), problem

    def leave(self, worker: str) -> None:
        self._reach()
        self.workers = 0


def _stored(row: dict[str, Any]) -> StoredResult:
    """A row as it is read: JSON's times as text, and its data as JSON text."""
    decided_at = datetime.fromtimestamp(row["decided_at"], UTC).isoformat(timespec="milliseconds")
    fields = {name: row[name] for name in StoredResult.__dataclass_fields__}
    return StoredResult(**{**fields, "decided_at": decided_at.replace("+00:00", "Z"), "data": json.dumps(row["data"])})


class World:
    """Everything, and the hands of the worker."""

    def __init__(self, **settings: Any) -> None:
        self.kafka, self.postgres, self.health = Kafka(), Postgres(), Health()
        self.orders: list[WorkOrder] = []
        self.broker_away = False
        self.broker_lost = False
        fields = {"batch_linger_ms": 0, "commit_interval_s": 1e-9, "session_timeout_ms": 60_000, **settings}
        self.settings = Settings(**fields)
        self.dispatcher = self.start()

    def start(self) -> Dispatcher:
        """A dispatcher, as after a crash of the one before."""
        self.kafka.crash()
        ports = Ports(
            consumer=cast("KafkaConsumer", self.kafka),
            producer=cast("KafkaProducer", self.kafka),
            board=cast("BatchBoard", self.postgres),
            dead_letters=cast("DeadLetterStore", self.postgres),
            results={"toy": cast("ResultStore", self.postgres)},
            send=self._send,
            broker_lost=self._broker_lost,
        )
        self.dispatcher = Dispatcher(self.settings, {"toy": TOY}, ports, self.health)
        self.kafka.subscribe([INPUT.topic], self.dispatcher._assignment)
        return self.dispatcher

    def _broker_lost(self) -> bool:
        if self.broker_away:
            raise TransientError("the Celery broker does not answer")
        lost, self.broker_lost = self.broker_lost, False
        return lost

    def _send(self, capability: str, order: WorkOrder) -> None:
        if self.broker_away:
            raise TransientError("the Celery broker does not answer")
        self.orders.append(order)

    def rounds(self, count: int = 1) -> None:
        """Turn the loop, with every periodic step due each time."""
        for _ in range(count):
            self.dispatcher._next.clear()
            self.dispatcher._round()

    def until(self, look: Callable[[], object], rounds: int = 200) -> None:
        """Turn the loop until something is so."""
        for _ in range(rounds):
            if look():
                return
            self.rounds()
        raise AssertionError("it never came to that")

    def work(self, *orders: WorkOrder, rejects: Sequence[tuple[int, str, str]] = ()) -> None:
        """Do what a worker does with these batches: rows, then the marker."""
        rejected = {place for place, _, _ in rejects}
        for order in orders:
            rows = [
                {**item._asdict(), "decided_at": _NOW, "data": {"event_id": item.event_id}}
                for place, item in enumerate(order.items)
                if place not in rejected
            ]
            self.postgres.store(order.batch_id, json.dumps(rows), json.dumps(list(rejects)))

    @property
    def committed(self) -> int:
        """The group's offset; -1 while there is none."""
        return self.kafka.commits[-1][0] if self.kafka.commits else -1
