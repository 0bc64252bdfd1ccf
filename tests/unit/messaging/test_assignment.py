"""What a rebalance does to the ledgers (I5): they live exactly as long as the consumer's position for their partition."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, cast

import pytest
from kafka import KafkaConsumer
from kafka.errors import CommitFailedError

from services.messaging import Assignment, Recovered, TopicPartition

P0, P1 = TopicPartition("content.submitted", 0), TopicPartition("content.submitted", 1)


class Consumer:
    """Records what is committed on revocation."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.committed: list[dict[TopicPartition, Any]] = []

    async def commit_async(self, offsets: dict[TopicPartition, Any]) -> None:
        self.committed.append(offsets)
        if self.error is not None:
            raise self.error


def assigned(consumer: Consumer, *partitions: TopicPartition) -> Assignment:
    assignment = Assignment(cast("KafkaConsumer", consumer))
    asyncio.run(assignment.on_partitions_assigned(partitions))
    for partition in partitions:
        assignment.open(partition, Recovered(10, 0))
    return assignment


def test_i5_an_assigned_partition_has_no_ledger_before_recovery() -> None:
    assignment = Assignment(cast("KafkaConsumer", Consumer()))
    asyncio.run(assignment.on_partitions_assigned([P0]))
    assert assignment.ledger(P0) is None
    assert assignment.fresh == {P0}
    assert assignment.rebalanced
    assignment.open(P0, Recovered(10, 0))
    assert assignment.ledger(P0) is not None
    assert assignment.fresh == set()


def test_i5_a_revoked_partition_is_committed_and_then_forgotten() -> None:
    consumer = Consumer()
    assignment = assigned(consumer, P0, P1)
    ledger = assignment.ledger(P0)
    assert ledger is not None
    ledger.add(10, 0)
    ledger.add(11, 0)
    ledger.settle(10, 77)
    asyncio.run(assignment.on_partitions_revoked([P0]))
    assert {p: (o.offset, o.metadata) for p, o in consumer.committed[0].items()} == {P0: (11, "out=78")}
    assert ledger.closed
    assert assignment.ledger(P0) is None
    assert assignment.ledger(P1) is not None


def test_i5_a_lost_partition_is_forgotten_without_a_commit() -> None:
    consumer = Consumer()
    assignment = assigned(consumer, P0)
    ledger = assignment.ledger(P0)
    asyncio.run(assignment.on_partitions_lost([P0]))
    assert consumer.committed == []
    assert ledger is not None
    assert ledger.closed
    assert assignment.ledger(P0) is None


def test_i5_a_partition_that_comes_back_gets_a_new_ledger() -> None:
    assignment = assigned(Consumer(), P0)
    before = assignment.ledger(P0)
    asyncio.run(assignment.on_partitions_revoked([P0]))
    asyncio.run(assignment.on_partitions_assigned([P0]))
    assert assignment.ledger(P0) is None
    assignment.open(P0, Recovered(10, 0))
    assert assignment.ledger(P0) is not before


def test_a_partition_that_left_during_its_recovery_is_not_opened() -> None:
    assignment = Assignment(cast("KafkaConsumer", Consumer()))
    asyncio.run(assignment.on_partitions_assigned([P0]))
    asyncio.run(assignment.on_partitions_lost([P0]))
    assignment.open(P0, Recovered(10, 0))
    assert assignment.ledgers() == {}


@pytest.mark.parametrize("error", [CommitFailedError(), RuntimeError("something else")])
def test_a_failed_commit_does_not_break_the_rebalance(error: Exception) -> None:
    assignment = assigned(Consumer(error), P0)
    asyncio.run(assignment.on_partitions_revoked([P0]))
    assert assignment.ledgers() == {}


def test_only_the_partitions_that_were_asked_for_are_in_the_watermarks() -> None:
    assignment = assigned(Consumer(), P0, P1)
    assert set(assignment.watermarks()) == {P0, P1}
    assert set(assignment.watermarks([P1])) == {P1}
    assert assignment.watermarks([P1])[P1].offset == 10


@pytest.mark.parametrize("event", ["on_partitions_revoked", "on_partitions_lost"])
def test_a_partition_is_given_up_after_its_sends_have_ended(event: str) -> None:
    asked: list[set[TopicPartition]] = []

    def under_way(partitions: Collection[TopicPartition]) -> bool:
        asked.append(set(partitions))
        return len(asked) < 3

    assignment = Assignment(cast("KafkaConsumer", Consumer()), under_way, patience_s=60)
    asyncio.run(getattr(assignment, event)([P0]))
    assert asked == [{P0}] * 3
    assert not assignment.left_behind


def test_a_send_that_does_not_end_is_left_behind_and_the_loop_is_told() -> None:
    assignment = Assignment(cast("KafkaConsumer", Consumer()), lambda _: True, patience_s=0.05)
    asyncio.run(assignment.on_partitions_revoked([P0]))
    assert assignment.left_behind
