"""What the dispatcher relies on in its Kafka clients, as tests: the stand-in and the real clients are held to the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from kafka.errors import CommitFailedError, IllegalStateError
from kafka.structs import OffsetAndMetadata

from services.messaging import Assignment, Outgoing, Recovered, Sender, TopicPartition, lost_membership
from tests.integration.spine.processes import eventually

__all__ = ["KafkaContract", "KafkaPlace"]

_MS = 30_000

T = TypeVar("T")


class KafkaPlace(ABC):
    """A group with one input partition (`source`) and one for results (`target`), and a producer."""

    source: TopicPartition
    target: TopicPartition
    producer: Any
    consumer: Any
    assignment: Assignment

    @abstractmethod
    def subscribe(self) -> None:
        """A new member, with `consumer` and `assignment`; the one before it, if any, is dead. It has not polled yet."""

    @abstractmethod
    def take_away(self) -> None:
        """From the next polls on the partition is not the member's."""

    @abstractmethod
    def give_back(self) -> None:
        """From the next polls on it is the member's again."""

    def join(self) -> None:
        """`subscribe`, and poll until the partition is there. Nothing is taken in yet, as in `Dispatcher._take_in`."""
        self.subscribe()
        records = self.poll_until(lambda _: bool(self.assignment.fresh))
        if records:
            self.consumer.seek(self.source, records[0].offset)

    def produce(self, count: int) -> None:
        """So many records, and wait until they are there."""
        end = self.end(self.source)
        for n in range(end, end + count):
            future = self.producer.send(self.source.topic, b"v%d" % n, b"k%d" % n, [("h", b"%d" % n)], 0)
            eventually(lambda f=future: f.is_done, "an acknowledgement", every_s=0.005)  # type: ignore[misc]

    def end(self, partition: TopicPartition) -> int:
        return int(self.consumer.end_offsets([partition], timeout_ms=_MS)[partition])

    def poll_until(self, look: Callable[[list[Any]], bool]) -> list[Any]:
        """The records that the polls gave until `look` was content with them."""
        records: list[Any] = []

        def poll() -> bool:
            records.extend(self.consumer.poll(timeout_ms=20).get(self.source, []))
            return look(records)

        eventually(poll, "what was polled for", every_s=0)
        return records

    def poll(self, count: int) -> list[int]:
        """Offsets of so many records, in the order of their delivery, and of those that come too many."""
        records = self.poll_until(lambda found: len(found) >= count)
        for _ in range(5):
            records += self.poll_until(lambda _: True)
        return [record.offset for record in records]

    def mark(self, offset: int, metadata: str = "out=0") -> dict[TopicPartition, OffsetAndMetadata]:
        return {self.source: OffsetAndMetadata(offset, metadata, -1)}

    def committed(self) -> tuple[int, str] | None:
        found = self.consumer.committed(self.source, metadata=True, timeout_ms=_MS)
        return None if found is None else (found.offset, found.metadata)

    def position(self) -> int | None:
        found: int | None = self.consumer.position(self.source, timeout_ms=_MS)
        return found


class KafkaContract:
    """Inherit, and give the fixture `place`, with nothing published and nobody subscribed."""

    def test_what_was_produced_is_polled_in_order_and_byte_for_byte(self, place: KafkaPlace) -> None:
        place.join()
        place.produce(3)
        assert place.end(place.source) == 3
        records = place.poll_until(lambda found: len(found) >= 3)
        assert [(r.topic, r.partition, r.offset) for r in records] == [(*place.source, n) for n in range(3)]
        assert [(r.key, r.value) for r in records] == [(b"k0", b"v0"), (b"k1", b"v1"), (b"k2", b"v2")]
        assert [list(r.headers) for r in records] == [[("h", b"0")], [("h", b"1")], [("h", b"2")]]
        assert all(r.timestamp > 0 for r in records)
        assert place.position() == place.consumer.highwater(place.source) == 3

    def test_a_seek_makes_it_deliver_again_from_there(self, place: KafkaPlace) -> None:
        place.join()
        place.produce(4)
        assert place.poll(4) == [0, 1, 2, 3]
        place.consumer.seek(place.source, 2)
        assert place.position() == 2
        assert place.poll(2) == [2, 3]

    def test_a_new_member_starts_from_the_commit_and_without_one_from_the_beginning(self, place: KafkaPlace) -> None:
        place.join()
        place.produce(4)
        assert place.poll(4) == [0, 1, 2, 3]
        assert place.committed() is None
        place.join()
        assert place.poll(4) == [0, 1, 2, 3]
        place.consumer.commit(place.mark(3, "out=9"), timeout_ms=_MS)
        assert place.position() == 4  # a commit moves nobody
        place.join()
        assert place.committed() == (3, "out=9")
        assert place.position() == 3
        assert place.poll(1) == [3]

    def test_a_commit_that_is_not_waited_for_says_when_it_is_there(self, place: KafkaPlace) -> None:
        place.join()
        assert place.position() == 0  # else `committed` may be told what the client was asking for already
        answers: list[Any] = []
        place.consumer.commit_async(place.mark(0, "out=1"), callback=lambda _, answer: answers.append(answer))
        place.poll_until(lambda _: bool(answers))
        assert not isinstance(answers[0], BaseException)
        assert place.committed() == (0, "out=1")
        place.consumer.commit_async(place.mark(0, "out=2"), callback=lambda _, answer: answers.append(answer))
        place.poll_until(lambda _: len(answers) == 2)
        assert place.committed() == (0, "out=2")

    def test_a_paused_partition_delivers_nothing_until_it_is_resumed(self, place: KafkaPlace) -> None:
        place.join()
        place.produce(1)
        assert place.poll(1) == [0]
        place.consumer.pause(*place.consumer.assignment())
        assert place.consumer.paused() == {place.source}
        place.produce(2)
        assert place.poll(0) == []
        assert place.position() == 1
        place.consumer.resume(*place.consumer.paused())
        assert place.consumer.paused() == set()
        assert place.poll(2) == [1, 2]

    def test_each_send_is_acknowledged_once_with_its_offset(self, place: KafkaPlace) -> None:
        place.join()
        sender = Sender[int](place.producer)
        for n in range(5):
            sender.put(Outgoing(n, place.target.topic, 0, None, b"%d" % n))
        sender.send(0.0)
        assert _acknowledged(sender, 5) == [(n, n) for n in range(5)]
        assert list(sender.acknowledged(0.0)) == []
        assert (len(sender), sender.problem) == (0, None)
        assert place.end(place.target) == 5

    def test_a_record_that_is_too_large_is_refused_and_costs_no_other(self, place: KafkaPlace) -> None:
        place.join()
        sender = Sender[str](place.producer)
        sender.put(Outgoing("large", place.target.topic, 0, None, bytes(3_000_000)))
        sender.put(Outgoing("small", place.target.topic, 0, None, b"v"))
        sender.send(0.0)
        assert [(r.outgoing.subject, r.problem.rsplit(" ")[-1]) for r in sender.refused()] == [
            ("large", "MessageSizeTooLargeError")
        ]
        assert _acknowledged(sender, 1) == [("small", 0)]

    def test_a_topic_has_its_partitions_and_one_that_does_not_exist_has_none(self, place: KafkaPlace) -> None:
        place.subscribe()
        assert place.consumer.partitions_for_topic(place.target.topic) == {0}
        assert place.consumer.partitions_for_topic("nobody.x") == set()

    def test_who_has_not_joined_yet_owns_nothing_and_commits_nothing(self, place: KafkaPlace) -> None:
        place.subscribe()
        assert place.consumer.assignment() == set()
        assert place.consumer.group_metadata().generation_id <= 0
        with pytest.raises(CommitFailedError) as caught:
            place.consumer.commit(place.mark(0), timeout_ms=_MS)
        assert lost_membership(caught.value)
        answers: list[Any] = []
        place.consumer.commit_async(place.mark(0), callback=lambda _, answer: answers.append(answer))
        for ask in (place.position, lambda: place.consumer.highwater(place.source)):
            with pytest.raises(IllegalStateError):
                ask()
        with pytest.raises(ValueError, match="Unassigned partition"):
            place.consumer.seek(place.source, 0)
        place.poll_until(lambda _: bool(place.assignment.fresh))
        assert place.consumer.assignment() == {place.source}
        assert place.consumer.group_metadata().generation_id > 0
        assert lost_membership(answers[0])
        assert place.committed() is None

    def test_a_revoked_partition_is_committed_by_its_listener_and_comes_back_where_that_is(
        self, place: KafkaPlace
    ) -> None:
        place.join()
        place.produce(3)
        assert place.poll(3) == [0, 1, 2]
        place.assignment.open(place.source, Recovered(0, 0))
        ledger = place.assignment.ledger(place.source)
        assert ledger is not None
        for offset in range(3):
            ledger.add(offset, 0)
        ledger.settle(0, 0)
        place.consumer.pause(place.source)

        place.take_away()
        place.poll_until(lambda _: place.source not in place.consumer.assignment())
        assert ledger.closed
        assert place.committed() == (1, "out=1")
        assert place.source not in place.consumer.paused()
        with pytest.raises(IllegalStateError):
            place.position()

        place.give_back()
        found = [r.offset for r in place.poll_until(lambda _: place.source in place.consumer.assignment())]
        assert place.assignment.fresh == {place.source}
        assert found + place.poll(2 - len(found)) == [1, 2]


def _acknowledged(sender: Sender[T], count: int) -> list[tuple[T, int]]:
    found: list[tuple[T, int]] = []

    def look() -> bool:
        found.extend(sender.acknowledged(0.0))
        return len(found) >= count

    eventually(look, "acknowledgements", every_s=0.005)
    return found
