"""Sends: what counts as acknowledged, what is sent again, and what Kafka will never take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaProducer
from kafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
)

from services.errors import ConfigurationError
from services.messaging import Outgoing, Sender


class Future:
    """What a producer's `send` gives."""

    def __init__(self) -> None:
        self.is_done = False
        self.exception: KafkaError | None = None
        self.value: Any = None

    def succeed(self, offset: int) -> None:
        self.is_done = True
        self.value = type("Metadata", (), {"offset": offset})

    def fail(self, error: KafkaError) -> None:
        self.is_done = True
        self.exception = error

    def succeeded(self) -> bool:
        return self.is_done and self.exception is None


class Manager:
    """Of a producer that the cluster refuses."""

    def has_fatal_error(self) -> bool:
        return True


@dataclass
class FaultyProducer:
    """Keeps the futures it hands out; raises `error` while there is one."""

    error: KafkaError | None = None
    sent: list[tuple[bytes | None, Future]] = field(default_factory=list)

    def send(self, topic: str, value: bytes | None, key: bytes | None, headers: Any, partition: int | None) -> Future:
        if self.error is not None:
            raise self.error
        self.sent.append((value, Future()))
        return self.sent[-1][1]


def sender(producer: FaultyProducer) -> Sender[str]:
    return Sender(cast("KafkaProducer", producer))


def outgoing(subject: str) -> Outgoing[str]:
    return Outgoing(subject, "content.decided", 0, None, subject.encode())


def test_i2_a_send_counts_only_when_its_future_says_so() -> None:
    producer = FaultyProducer()
    out = sender(producer)
    out.put(outgoing("a"))
    out.send(0)
    assert list(out.acknowledged(0)) == []
    assert len(out) == 1
    producer.sent[0][1].succeed(17)
    assert list(out.acknowledged(0)) == [("a", 17)]
    assert list(out.acknowledged(0)) == []
    assert len(out) == 0


def test_i2_a_failed_send_is_repeated_and_counts_once() -> None:
    producer = FaultyProducer()
    out = sender(producer)
    out.put(outgoing("a"))
    out.send(0)
    producer.sent[0][1].fail(KafkaTimeoutError())
    assert list(out.acknowledged(10)) == []
    assert out.problem == "Kafka does not take records: KafkaTimeoutError"
    out.send(10.1)
    assert len(producer.sent) == 1  # not at once
    out.send(11)
    assert [value for value, _ in producer.sent] == [b"a", b"a"]
    producer.sent[1][1].succeed(3)
    assert list(out.acknowledged(11)) == [("a", 3)]
    assert out.problem is None


def test_a_producer_without_metadata_keeps_everything_waiting_in_order() -> None:
    producer = FaultyProducer(error=KafkaTimeoutError())
    out = sender(producer)
    out.put(outgoing("a"))
    out.put(outgoing("b"))
    out.send(0)
    assert out.problem is not None
    producer.error = None
    out.send(1)
    assert [value for value, _ in producer.sent] == [b"a", b"b"]


def test_failed_sends_go_before_those_that_came_later() -> None:
    producer = FaultyProducer()
    out = sender(producer)
    for name in "abc":
        out.put(outgoing(name))
    out.send(0)
    out.put(outgoing("d"))
    for _, future in producer.sent:
        future.fail(NotLeaderForPartitionError())
    assert list(out.acknowledged(0)) == []
    out.send(1)
    assert [value for value, _ in producer.sent[3:]] == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_record_that_is_too_large_is_refused_and_holds_nothing_up(*, at_once: bool) -> None:
    producer = FaultyProducer()
    out = sender(producer)
    out.put(outgoing("large"))
    if at_once:
        producer.error = MessageSizeTooLargeError()
        out.send(0)
        producer.error = None
    else:
        out.send(0)
        producer.sent.pop()[1].fail(MessageSizeTooLargeError())
    out.put(outgoing("small"))
    assert list(out.acknowledged(0)) == []
    out.send(0)
    assert [value for value, _ in producer.sent] == [b"small"]
    assert [(r.outgoing.subject, r.problem) for r in out.refused()] == [
        ("large", "Kafka refuses the record: MessageSizeTooLargeError")
    ]
    assert out.refused() == []


def test_records_of_a_revoked_partition_leave_before_they_are_sent() -> None:
    producer = FaultyProducer()
    out = sender(producer)
    for name in ("gone-1", "stays", "gone-2"):
        out.put(outgoing(name))
    assert out.discard(lambda subject: subject.startswith("gone")) == ["gone-1", "gone-2"]
    out.send(0)
    assert [value for value, _ in producer.sent] == [b"stays"]
    assert out.discard(lambda _: True) == []  # what the producer has cannot be taken back


@given(st.data())
def test_every_record_is_acknowledged_exactly_once_whatever_fails(data: st.DataObject) -> None:
    producer = FaultyProducer()
    out = sender(producer)
    names = [str(n) for n in range(data.draw(st.integers(1, 10)))]
    acknowledged: list[str] = []
    for name in names:
        out.put(outgoing(name))
    now = 0.0
    for _ in range(20):
        now += 1
        producer.error = KafkaTimeoutError() if data.draw(st.booleans()) else None
        out.send(now)
        for _value, future in producer.sent:
            if not future.is_done and data.draw(st.booleans()):
                if data.draw(st.booleans()):
                    future.succeed(0)
                else:
                    future.fail(NotLeaderForPartitionError())
        acknowledged += [subject for subject, _ in out.acknowledged(now)]
        assert len(out) + len(acknowledged) == len(names)
    producer.error = None
    while len(out):
        now += 1
        out.send(now)
        for _value, future in producer.sent:
            if not future.is_done:
                future.succeed(0)
        acknowledged += [subject for subject, _ in out.acknowledged(now)]
    assert sorted(acknowledged) == sorted(names)


def test_a_producer_that_the_cluster_refuses_ends_the_process_and_says_why() -> None:
    producer = FaultyProducer()
    out = sender(producer)
    out.put(outgoing("a"))
    out.send(0)
    producer.sent[0][1].fail(ClusterAuthorizationFailedError())
    producer._transaction_manager = Manager()  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"for good .ClusterAuthorizationFailedError."):
        list(out.acknowledged(0))


def test_a_record_is_under_way_until_there_is_an_answer() -> None:
    producer = FaultyProducer()
    out = sender(producer)
    out.put(outgoing("a"))
    assert not out.under_way(lambda _: True)  # the producer does not have it yet
    out.send(0)
    assert out.under_way(lambda subject: subject == "a")
    assert not out.under_way(lambda subject: subject == "b")
    producer.sent[0][1].succeed(1)
    assert not out.under_way(lambda _: True)
