"""Commits: one at a time; a silent coordinator shows, a rebalance does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from kafka import KafkaConsumer
from kafka.errors import (
    CommitFailedError,
    CoordinatorNotAvailableError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from consumers.dispatcher.circuits import Circuits
from consumers.dispatcher.committer import Committer
from services.messaging import Assignment
from services.telemetry import Health


class Answer:
    """Of a commit; given as the client gives it, inside a poll."""

    def __init__(self, callback: Callable[[object, object], None]) -> None:
        self._callback = callback

    def give(self, error: KafkaError | None = None) -> None:
        self._callback({}, error)


class Consumer:
    """Keeps what is committed."""

    def __init__(self) -> None:
        self.commits: list[dict[int, int]] = []
        self.answers: list[Answer] = []
        self.error: KafkaError | None = None

    def commit_async(self, offsets: dict[int, int], callback: Callable[[object, object], None]) -> None:
        if self.error is not None:
            raise self.error
        self.commits.append(offsets)
        self.answers.append(Answer(callback))

    def commit(self, offsets: dict[int, int], timeout_ms: int) -> None:
        if self.error is not None:
            raise self.error
        self.commits.append(offsets)


class Owned:
    """An assignment."""

    def __init__(self) -> None:
        self.marks: dict[int, int] = {0: 7}

    def watermarks(self) -> dict[int, int]:
        return dict(self.marks)


class Place:
    """A committer with its surroundings."""

    def __init__(self) -> None:
        self.consumer, self.owned, self.health = Consumer(), Owned(), Health()
        self.circuits = Circuits(self.health)
        self.committer = Committer(cast("KafkaConsumer", self.consumer), cast("Assignment", self.owned), self.circuits)


@pytest.fixture
def place() -> Place:
    return Place()


def test_one_commit_waits_for_the_answer_of_the_one_before(place: Place) -> None:
    place.committer.commit(1)
    place.owned.marks = {0: 8}
    place.committer.commit(2)
    assert place.consumer.commits == [{0: 7}]
    place.consumer.answers[0].give()
    place.committer.commit(3)
    assert place.consumer.commits == [{0: 7}, {0: 8}]
    assert not place.circuits


def test_a_coordinator_that_does_not_answer_shows_and_is_believed_when_it_does(place: Place) -> None:
    place.committer.commit(0)
    place.committer.commit(2)
    assert not place.circuits
    place.committer.commit(4)
    assert place.health.problems() == {"kafka-commits": "Kafka does not answer a commit"}
    place.consumer.answers[0].give()
    place.committer.commit(5)
    assert not place.circuits


@pytest.mark.parametrize("error", [KafkaTimeoutError(), CoordinatorNotAvailableError()])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_failed_commit_shows_and_is_repeated(place: Place, error: KafkaError, *, at_once: bool) -> None:
    if at_once:
        place.consumer.error = error
        place.committer.commit(0)
        place.consumer.error = None
    else:
        place.committer.commit(0)
        place.consumer.answers[0].give(error)
        place.committer.commit(1)
    assert "kafka-commits" in place.circuits
    place.committer.commit(2)
    place.consumer.answers[-1].give()
    place.committer.commit(3)
    assert not place.circuits


@pytest.mark.parametrize("error", [RebalanceInProgressError(), CommitFailedError()])
def test_a_commit_during_a_rebalance_fails_quietly(place: Place, error: KafkaError) -> None:
    place.consumer.error = error
    place.committer.commit(0)
    assert not place.circuits
    place.consumer.error = None
    place.committer.commit(1)
    assert place.consumer.commits == [{0: 7}]


def test_the_coordinators_silence_is_counted_from_the_first_commit_without_an_answer(place: Place) -> None:
    place.committer.commit(10)
    place.committer.commit(12)
    assert place.committer.silent_s(12) == 0
    place.committer.commit(14)
    assert place.committer.silent_s(14) == 4
    place.consumer.answers[0].give(CoordinatorNotAvailableError())
    place.committer.commit(15)
    place.consumer.answers[1].give(CoordinatorNotAvailableError())
    place.committer.commit(16)
    assert place.committer.silent_s(16) == 6
    place.consumer.answers[2].give(RebalanceInProgressError())
    assert place.committer.silent_s(20) == 0


def test_an_answer_that_never_comes_does_not_end_all_commits(place: Place) -> None:
    place.committer.commit(0)
    place.committer.commit(59)
    assert len(place.consumer.commits) == 1
    place.committer.commit(61)
    assert len(place.consumer.commits) == 2
    assert place.committer.silent_s(61) == 61
    place.consumer.answers[0].give()  # it comes after all, and tells nothing of the last hour
    assert place.committer.silent_s(61) == 61
    place.consumer.answers[1].give()
    assert place.committer.silent_s(63) == 0
    assert not place.circuits


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), UnknownTopicOrPartitionError()])
def test_a_refusal_shows_and_is_no_silence(place: Place, error: KafkaError) -> None:
    place.committer.commit(0)
    place.consumer.answers[0].give(error)
    assert "kafka-commits" in place.circuits
    assert place.committer.silent_s(100) == 0


def test_who_lost_everything_while_the_coordinator_was_silent_is_not_silent_for_ever(place: Place) -> None:
    place.committer.commit(0)
    place.consumer.answers[0].give(CoordinatorNotAvailableError())
    assert place.committer.silent_s(5) == 5
    place.owned.marks = {}
    place.committer.commit(6)
    assert place.committer.silent_s(7) == 0
    assert not place.circuits


def test_who_owns_nothing_commits_nothing(place: Place) -> None:
    place.owned.marks = {}
    place.committer.commit(0)
    place.committer.commit_and_wait()
    assert place.consumer.commits == []


def test_the_last_commit_may_fail(place: Place) -> None:
    place.consumer.error = KafkaTimeoutError()
    place.committer.commit_and_wait()
    place.consumer.error = None
    place.committer.commit_and_wait()
    assert place.consumer.commits == [{0: 7}]
