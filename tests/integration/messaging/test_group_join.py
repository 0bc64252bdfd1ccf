"""Joining a group with a real broker: however short and rare the polls are, the consumer gets its partitions."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kafka import KafkaConsumer
from kafka.coordinator.consumer import ConsumerCoordinator

from services.messaging import Assignment, group_consumer
from tests.integration.servers import Deployment, Servers


@pytest.fixture(scope="module")
def deployment(servers: Servers) -> Deployment:
    return servers.deploy()


@pytest.fixture
def consumers(deployment: Deployment) -> Iterator[list[KafkaConsumer]]:
    made: list[KafkaConsumer] = []
    yield made
    for consumer in made:
        consumer.close(autocommit=False, timeout_ms=3000)


def subscribed(deployment: Deployment, group: str) -> tuple[KafkaConsumer, Assignment]:
    settings = deployment.settings.model_copy(update={"consumer_group": f"{deployment.settings.topic_prefix}{group}"})
    consumer = group_consumer(settings, "test")
    assignment = Assignment(consumer)
    prefix = settings.topic_prefix
    consumer.subscribe(topics=[f"{prefix}toy.requested", f"{prefix}content.submitted"], listener=assignment)
    return consumer, assignment


@pytest.mark.parametrize("number", range(4))
def test_a_join_that_completes_between_two_polls_is_not_thrown_away(
    deployment: Deployment, consumers: list[KafkaConsumer], number: int
) -> None:
    consumer, assignment = subscribed(deployment, f"short-{number}")
    consumers.append(consumer)
    for _ in range(300):
        consumer.poll(timeout_ms=2)
        if len(assignment.fresh) == 6:
            return
        time.sleep(0.1)
    raise AssertionError("it never got its partitions")


def test_a_join_whose_reason_went_away_is_finished_all_the_same(
    deployment: Deployment, consumers: list[KafkaConsumer], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, assignment = subscribed(deployment, "forgotten")
    consumers.append(consumer)
    while not assignment.fresh:
        consumer.poll(timeout_ms=100)
    # The topics' metadata seems to change, a join begins, and then it seems not to have changed: as when metadata comes late.
    coordinator = consumer._coordinator
    joined = coordinator._generation.generation_id
    seen = coordinator._assignment_snapshot
    coordinator._assignment_snapshot = {}
    while coordinator._join_task is None:
        consumer.poll(timeout_ms=0)
    coordinator._assignment_snapshot = seen
    time.sleep(0.5)
    assert not ConsumerCoordinator.need_rejoin(coordinator)  # the library would never look at the join again
    for _ in range(100):
        consumer.poll(timeout_ms=20)
        if coordinator._join_task is None:
            break
    assert coordinator._join_task is None
    assert coordinator._generation.generation_id == joined + 1
    assert len(consumer.assignment()) == 6


def test_two_consumers_share_and_the_second_leaves_what_the_first_takes_back(
    deployment: Deployment, consumers: list[KafkaConsumer]
) -> None:
    first, first_assignment = subscribed(deployment, "shared")
    second, second_assignment = subscribed(deployment, "shared")
    consumers.append(first)
    for _ in range(600):
        first.poll(timeout_ms=20)
        second.poll(timeout_ms=20)
        if len(first.assignment()) == len(second.assignment()) == 3:
            break
    assert not first.assignment() & second.assignment()
    assert first_assignment.fresh | second_assignment.fresh >= first.assignment() | second.assignment()
    second.close(autocommit=False, timeout_ms=3000)
    for _ in range(600):
        first.poll(timeout_ms=20)
        if len(first.assignment()) == 6:
            break
    assert len(first.assignment()) == 6
