"""What a predecessor published and did not commit, read from a real output topic."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata

from services.messaging import (
    Assignment,
    Recovered,
    TopicPartition,
    Watermark,
    close_producer,
    group_consumer,
    input_header,
    producer,
    recover,
    recovery,
)
from services.settings import Settings
from tests.integration.servers import Deployment


class Place:
    """A consumer that owns the toy's input, and a producer for its output."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.consumer: KafkaConsumer = group_consumer(settings, "test")
        self.assignment = Assignment(self.consumer)
        self.producer: KafkaProducer = producer(settings, "test")
        self.inputs = [TopicPartition(f"{settings.topic_prefix}toy.requested", n) for n in range(3)]
        self.outputs = [TopicPartition(f"{settings.topic_prefix}toy.answered", n) for n in range(3)]
        self.consumer.subscribe(topics=[self.inputs[0].topic], listener=self.assignment)
        while len(self.assignment.fresh) < 3:
            self.consumer.poll(timeout_ms=100)

    def close(self) -> None:
        self.consumer.close(autocommit=False, timeout_ms=3000)
        close_producer(self.producer, 5)

    def publish(self, partition: int, event_id: str, answers: tuple[int, int] | None) -> int:
        headers = [input_header(*answers)] if answers else []
        topic, value = self.outputs[0].topic, json.dumps({"id": event_id}).encode()
        return int(self.producer.send(topic, value, None, headers, partition).get(timeout=60).offset)

    def commit(self, partition: int, offset: int, floor: int) -> None:
        metadata = Watermark(offset, floor).metadata()
        self.consumer.commit({self.inputs[partition]: OffsetAndMetadata(offset, metadata, -1)}, timeout_ms=30_000)

    def recovered(self) -> dict[int, Recovered]:
        pairs = dict(zip(self.inputs, self.outputs, strict=True))
        return {source.partition: found for source, found in recover(self.consumer, self.settings, pairs).items()}


@pytest.fixture
def place(deployment: Deployment) -> Iterator[Place]:
    made = Place(deployment.settings)
    yield made
    made.close()


def committed(place: Place, partition: int) -> tuple[int, str]:
    found = place.consumer.committed(place.inputs[partition], metadata=True, timeout_ms=30_000)
    return found.offset, found.metadata


def test_a_partition_that_was_never_committed_begins_here_and_is_committed_at_once(place: Place) -> None:
    assert place.recovered()[1] == Recovered(0, 0)
    assert committed(place, 1) == (0, "out=0")


def test_where_the_commit_is_gone_all_that_is_published_is_known(place: Place) -> None:
    place.publish(1, "before", (1, 0))
    place.publish(1, "theirs", (4, 0))
    place.publish(1, "later", (1, 7))
    found = Recovered(0, 3, {"before", "later"}, {0: 0, 7: 2})
    assert place.recovered()[1] == found
    assert committed(place, 1) == (0, "out=0")
    assert place.recovered()[1] == found  # as whoever comes after a kill at this moment sees it


def test_where_the_commit_is_gone_no_more_is_read_than_there_is_time_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "MOST_UNCOMMITTED", 6)  # of three partitions
    for number in range(5):
        place.publish(2, f"r{number}", (2, number))
    assert place.recovered()[2] == Recovered(0, 5, {"r3", "r4"}, {3: 3, 4: 4})
    assert committed(place, 2) == (0, "out=3")


def test_what_is_published_above_the_floor_is_known_with_the_record_that_it_answers(place: Place) -> None:
    place.publish(0, "old", (0, 3))
    first = place.publish(0, "seven", (0, 7))
    place.publish(0, "five", (0, 5))
    place.commit(0, 5, first)
    assert place.recovered()[0] == Recovered(5, 3, {"seven", "five"}, {7: 1, 5: 2})


def test_results_of_records_below_the_commit_will_not_come_again_and_are_left_out(place: Place) -> None:
    place.publish(0, "four", (0, 4))
    place.publish(0, "six", (0, 6))
    place.commit(0, 5, 0)
    assert place.recovered()[0] == Recovered(5, 2, {"six"}, {6: 1})


def test_results_of_another_input_partition_are_somebody_elses(place: Place) -> None:
    place.publish(0, "theirs", (12, 7))  # more inputs than outputs share an output partition
    place.publish(0, "ours", (0, 7))
    place.commit(0, 5, 0)
    assert place.recovered()[0] == Recovered(5, 2, {"ours"}, {7: 1})


def test_an_event_without_the_header_counts_by_its_id(place: Place) -> None:
    place.publish(0, "who knows", None)
    place.producer.send(place.outputs[0].topic, b"not even JSON", None, [], 0).get(timeout=60)
    place.commit(0, 5, 0)
    assert place.recovered()[0] == Recovered(5, 2, {"who knows"}, {})


def test_a_floor_beyond_the_end_means_that_the_output_was_made_anew(place: Place) -> None:
    place.publish(0, "six", (0, 6))
    place.commit(0, 5, 1000)
    assert place.recovered()[0] == Recovered(5, 1, {"six"}, {6: 0})


def test_a_commit_of_somebody_else_is_taken_as_it_is(place: Place) -> None:
    place.publish(0, "before", (0, 9))
    place.consumer.commit({place.inputs[0]: OffsetAndMetadata(4, "by an operator", -1)}, timeout_ms=30_000)
    assert place.recovered()[0] == Recovered(4, 1, {"before"}, {9: 0})


def test_outputs_of_two_capabilities_are_asked_for_when_one_topic_is_known_already(place: Place) -> None:
    """A dispatcher that gains a partition of another capability: kafka-python raised KeyError, which nobody expected."""
    place.consumer.partitions_for_topic(place.outputs[0].topic)
    place.consumer.end_offsets([place.outputs[0]])
    other = TopicPartition(f"{place.settings.topic_prefix}content.decided", 0)
    found = recover(place.consumer, place.settings, {place.inputs[0]: place.outputs[0], place.inputs[1]: other})
    assert {source.partition for source in found} == {0, 1}
