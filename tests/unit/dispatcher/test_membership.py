"""A dispatcher that was frozen or cut off publishes nothing before the coordinator took a commit of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from kafka import KafkaConsumer
from kafka.errors import CommitFailedError

from consumers.dispatcher import membership
from consumers.dispatcher.membership import Membership
from services.messaging import Assignment


class Coordinator:
    """Takes commits, or refuses them as it refuses a zombie's."""

    def __init__(self) -> None:
        self.refuses = False
        self.commits = 0
        self.generation = 1

    def group_metadata(self) -> Any:
        return SimpleNamespace(generation_id=self.generation)

    def commit(self, offsets: Any, timeout_ms: int) -> None:
        self.commits += 1
        if self.refuses:
            raise CommitFailedError


class Owned:
    """An assignment with so many partitions."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions

    def watermarks(self) -> dict[int, int]:
        return dict.fromkeys(range(self.partitions), 0)


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(membership, "time", made)
    return made


def member(coordinator: Coordinator, owned: Owned | None = None) -> Membership:
    return Membership(cast("KafkaConsumer", coordinator), cast("Assignment", owned or Owned()), 10_000)


def test_a_loop_that_polls_often_needs_no_proof(clock: Clock) -> None:
    coordinator = Coordinator()
    held = member(coordinator)
    for _ in range(10):
        clock.now += 4
        held.polled()
        assert held.holds(0)
    assert coordinator.commits == 0


def test_a_process_that_froze_after_its_poll_polls_first(clock: Clock) -> None:
    held = member(Coordinator())
    held.polled()
    clock.now += 6
    assert not held.holds(0)


def test_a_process_that_froze_inside_its_poll_has_to_prove_that_it_is_a_member(clock: Clock) -> None:
    coordinator = Coordinator()
    held = member(coordinator)
    clock.now += 6
    held.polled()
    assert held.holds(0)
    assert coordinator.commits == 1
    assert held.holds(0)
    assert coordinator.commits == 1  # once is enough


def test_a_zombie_publishes_nothing(clock: Clock) -> None:
    coordinator = Coordinator()
    coordinator.refuses = True
    held = member(coordinator)
    clock.now += 60
    for _ in range(3):
        held.polled()
        assert not held.holds(0)
    coordinator.refuses = False  # it joined again, with new partitions
    assert held.holds(0)


def test_a_process_that_the_coordinator_did_not_answer_publishes_nothing_until_it_took_a_commit(clock: Clock) -> None:
    coordinator = Coordinator()
    held = member(coordinator)
    held.polled()
    assert held.holds(4)
    assert not held.holds(6)
    assert coordinator.commits == 0  # nobody would answer
    coordinator.refuses = True
    assert not held.holds(0)  # it is back, and has given the partitions away
    coordinator.refuses = False
    assert held.holds(0)


def test_who_owns_nothing_has_nothing_to_prove(clock: Clock) -> None:
    coordinator = Coordinator()
    coordinator.refuses = True
    held = member(coordinator, Owned(0))
    clock.now += 60
    held.polled()
    assert held.holds(0)


@pytest.mark.parametrize(("generation", "joined"), [(-1, False), (0, False), (1, True), (17, True)])
def test_a_member_has_a_generation(clock: Clock, generation: int, joined: bool) -> None:  # noqa: FBT001 - by table
    coordinator = Coordinator()
    coordinator.generation = generation
    assert member(coordinator).joined() is joined
