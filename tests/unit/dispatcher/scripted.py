"""A dispatcher whose surroundings do what the test says: Kafka, Postgres and the broker in memory, one round at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from kafka import KafkaConsumer, KafkaProducer

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


def toy_value(event_id: str, text: str = "fine", **attributes: Any) -> bytes:
    """An event for the toy capability."""
    data = {"toy_id": event_id, "text": text}
    whole = {"specversion": "1.0", "id": event_id, "source": "s", "type": TOY.input.type, "data": data, **attributes}
    return json.dumps(whole).encode()


class Kafka:
    """Consumer and producer of one input partition."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.position_at = 0
        self.committed_at: Any = None
        self.commits: list[tuple[int, str]] = []
        self.published: list[tuple[str, bytes | None, list[tuple[str, bytes]]]] = []
        self.silent_output = False
        self.futures: list[Any] = []
        self.paused_now: set[TopicPartition] = set()
        self.assigned: set[TopicPartition] = set()
        self.will_assign = False
        self.will_revoke: str | None = None
        self.commit_error: KafkaError | None = None
        self._listener: Any = None

    # --- consumer ---

    def subscribe(self, topics: Sequence[str], listener: Any) -> None:
        self._listener = listener
        self.will_assign = True

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[MadeRecord]]:
        """A rebalance and records may come out of one and the same poll."""
        if self.will_revoke:
            self.assigned.clear()
            asyncio.run(getattr(self._listener, f"on_partitions_{self.will_revoke}")([INPUT]))
            self.will_revoke = None
        if self.will_assign:
            self.will_assign = False
            self.assigned.add(INPUT)
            self.position_at = self.committed_at.offset if self.committed_at else 0
            asyncio.run(self._listener.on_partitions_assigned([INPUT]))
        if not self.assigned or self.paused_now or self.position_at >= len(self.log):
            return {}
        records = [MadeRecord(n, value=v) for n, v in enumerate(self.log)][self.position_at :]
        self.position_at = len(self.log)
        return {INPUT: records}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.position_at = offset

    def position(self, partition: TopicPartition, timeout_ms: int | None = None) -> int:
        return self.position_at

    def highwater(self, partition: TopicPartition) -> int:
        return len(self.log)

    def committed(self, partition: TopicPartition, metadata: bool, timeout_ms: int) -> Any:  # noqa: FBT001 - kafka-python's
        return self.committed_at

    def end_offsets(self, partitions: Iterable[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        return {partition: sum(topic == partition.topic for topic, _, _ in self.published) for partition in partitions}

    def commit(self, offsets: dict[TopicPartition, Any], timeout_ms: int) -> None:
        if self.commit_error is not None:
            raise self.commit_error
        for offset in offsets.values():
            self.committed_at = offset
            self.commits.append((offset.offset, offset.metadata))

    def commit_async(self, offsets: dict[TopicPartition, Any]) -> Any:
        """Awaitable, and a future that is done."""
        self.commit(offsets, 0)
        return _Done()

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused_now |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused_now -= set(partitions)

    def paused(self) -> set[TopicPartition]:
        return set(self.paused_now)

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def group_metadata(self) -> Any:
        return SimpleNamespace(generation_id=1)

    # --- producer ---

    def send(self, topic: str, value: bytes | None, key: Any, headers: Any, partition: Any) -> Any:
        self.published.append((topic, value, headers))
        offset = sum(one == topic for one, _, _ in self.published) - 1
        future = SimpleNamespace(is_done=not self.silent_output, value=SimpleNamespace(offset=offset))
        future.succeeded = lambda: future.is_done
        self.futures.append(future)
        return future

    def acknowledge(self) -> None:
        """The broker has everything that was sent."""
        for future in self.futures:
            future.is_done = True

    def results(self) -> list[str]:
        """Event ids of the published results, in order."""
        return [json.loads(v or b"")["data"]["event_id"] for t, v, _ in self.published if t == "toy.answered"]


class _Done:
    """The future of a commit that was taken."""

    is_done = True
    exception = None

    def succeeded(self) -> bool:
        return True

    def __await__(self) -> Any:
        return iter(())


class Postgres:
    """Rows, markers and signs of life."""

    def __init__(self) -> None:
        self.away = False
        self.rows: dict[str, StoredResult] = {}
        self.markers: dict[str, FinishedBatch] = {}
        self.letters: list[DeadLetter] = []
        self.running: set[str] = set()
        self.begun: set[str] = set()
        self.workers = 1
        self.problem: str | None = None

    def _reach(self) -> None:
        if self.away:
            raise TransientError("Postgres: it is away")

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
        known = {letter.id for letter in self.letters}
        self.letters += [letter for letter in letters if letter.id not in known]


class World:
    """Everything, and the hands of the worker."""

    def __init__(self, **settings: Any) -> None:
        self.kafka, self.postgres, self.health = Kafka(), Postgres(), Health()
        self.orders: list[WorkOrder] = []
        self.broker_away = False
        fields = {"batch_linger_ms": 0, "commit_interval_s": 1e-9, "session_timeout_ms": 60_000, **settings}
        self.settings = Settings(**fields)
        self.dispatcher = self.start()

    def start(self) -> Dispatcher:
        """A dispatcher, as after a crash of the one before."""
        self.kafka.assigned.clear()
        self.kafka.paused_now.clear()
        ports = Ports(
            consumer=cast("KafkaConsumer", self.kafka),
            producer=cast("KafkaProducer", self.kafka),
            board=cast("BatchBoard", self.postgres),
            dead_letters=cast("DeadLetterStore", self.postgres),
            results={"toy": cast("ResultStore", self.postgres)},
            send=self._send,
        )
        self.dispatcher = Dispatcher(self.settings, {"toy": TOY}, ports, self.health)
        self.kafka.subscribe([INPUT.topic], self.dispatcher._assignment)
        return self.dispatcher

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
        for order in orders:
            rejected = {place for place, _, _ in rejects}
            for place, item in enumerate(order.items):
                if place not in rejected and item.decision_id not in self.postgres.rows:
                    self.postgres.rows[item.decision_id] = StoredResult(
                        item.decision_id,
                        item.content_hash,
                        item.tenant,
                        item.input_partition,
                        item.input_offset,
                        "2026-11-24T12:00:00.000Z",
                        item.output_key,
                        json.dumps({"event_id": item.event_id}),
                    )
            self.postgres.markers[order.batch_id] = FinishedBatch(order.batch_id, "done", list(rejects), "")

    @property
    def committed(self) -> int:
        """The group's offset; -1 while there is none."""
        return self.kafka.commits[-1][0] if self.kafka.commits else -1
