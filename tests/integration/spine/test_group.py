"""Dispatchers come, go, freeze, get stuck and die: nothing is lost, and no result is published or stored twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from tests.integration.servers import Deployment, Servers
from tests.integration.spine.holding import Hold, Place
from tests.integration.spine.processes import Process, eventually, running
from tests.integration.spine.topics import Topics, toy_event

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def deployment(servers: Servers) -> Deployment:
    """Small batches and short sessions, so that much happens in little time."""
    return servers.deploy(
        capabilities="tests.toy.capability:TOY",
        topic_partitions=6,
        batch_size=4,
        session_timeout_ms=6000,
        max_poll_interval_ms=8000,
        batch_deadline_s=3,
    )


@pytest.fixture
def worker(deployment: Deployment, logs: Path) -> Iterator[Process]:
    with running("worker", deployment.environment, logs) as process:
        yield process


class Stream:
    """Events for the toy capability, on all partitions, and the account of them."""

    def __init__(self, deployment: Deployment, topics: Topics) -> None:
        self._deployment = deployment
        self._topics = topics
        self._sent: list[str] = []

    def send(self, count: int, text: str = "fine") -> None:
        for number in range(count):
            name = f"e-{len(self._sent)}"
            self._topics.send("toy.requested", [toy_event(text, name)], key=name.encode(), partition=number % 6)
            self._sent.append(name)

    def answered(self) -> Counter[str]:
        return Counter(record.data["event_id"] for record in self._topics.read("toy.answered"))

    def stored(self) -> Counter[str]:
        with self._deployment.database() as database, database.cursor("test") as cursor:
            cursor.execute("SELECT event_id FROM toy_answer")
            return Counter(event_id for (event_id,) in cursor.fetchall())

    def settled(self) -> bool:
        return sum(self._topics.committed("toy.requested").values()) == len(self._sent)

    def wait_exact(self) -> None:
        """Each has one answer and one row, no more; and everything is committed."""

        def look() -> bool:
            found = self.answered()
            twice = {name: count for name, count in found.items() if count > 1}
            assert not twice, f"published twice: {twice}"
            return set(found) == set(self._sent)

        eventually(look, "one answer for each")
        eventually(self.settled, "everything committed")
        assert look()
        assert self.stored() == Counter(self._sent)
        assert self._topics.read("toy.requested.dlq") == []


@pytest.fixture
def stream(deployment: Deployment, topics: Topics) -> Stream:
    return Stream(deployment, topics)


def owned(dispatcher: Process) -> int:
    """How many partitions a dispatcher got, less those it gave away or lost."""
    got, revoked, lost = (
        dispatcher.metric("tidegate_rebalances_total", event=event) for event in ("assigned", "revoked", "lost")
    )
    return int(got - revoked - lost)


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_a_dispatcher_joins_and_another_leaves_under_load(deployment: Deployment, stream: Stream, logs: Path) -> None:
    with running("dispatcher", deployment.environment, logs) as first:
        stream.send(60)
        with running("dispatcher", deployment.environment, logs) as second:
            stream.send(60)
            second.wait(lambda: owned(second) > 0, "partitions for the second")
            stream.send(60)
            assert first.stop() == 0
            stream.send(60)
            second.wait(lambda: owned(second) == 6, "all partitions for the second")
            stream.wait_exact()


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_a_frozen_dispatcher_publishes_nothing_when_it_wakes(
    deployment: Deployment, stream: Stream, logs: Path
) -> None:
    with running("dispatcher", deployment.environment, logs) as sleeper:
        stream.send(6)
        stream.wait_exact()
        # It has batches with the worker when it freezes: their results will be there when it wakes.
        stream.send(24, "SLEEP 0.3")
        sleeper.wait(lambda: sleeper.metric("tidegate_in_flight_messages") > 0, "something in flight")
        sleeper.freeze()
        with running("dispatcher", deployment.environment, logs) as other:
            other.wait(lambda: owned(other) == 6, "all partitions for the other")
            stream.send(6)
            stream.wait_exact()
            sleeper.thaw()
            sleeper.wait(lambda: owned(sleeper) + owned(other) >= 6 and sleeper.ready(), "both in the group")
            stream.send(24)
            stream.wait_exact()


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("place", get_args(Place))
def test_a_dispatcher_whose_loop_is_stuck_while_its_client_goes_on_heartbeating_publishes_nothing_when_it_goes_on(
    deployment: Deployment, stream: Stream, topics: Topics, logs: Path, place: Place
) -> None:
    hold = Hold(logs, place)
    # So much longer than a session that a look in between shows who keeps the member in the group.
    environment = {**deployment.environment, "TIDEGATE_MAX_POLL_INTERVAL_MS": "20000"}
    with running("dispatcher", {**environment, **hold.environment}, logs) as stuck:
        stream.send(6)
        stream.wait_exact()
        # It has batches with the worker when it gets stuck: their results will be there when it goes on.
        stream.send(24, "SLEEP 0.3")
        stuck.wait(lambda: stuck.metric("tidegate_in_flight_messages") > 0, "something in flight")
        hold.begin()
        stream.send(6)
        stuck.wait(lambda: hold.holds, "a loop that stands still")
        time.sleep(9)  # a session and a half
        assert topics.members() == 1  # it heartbeats: only max.poll.interval can end this
        with running("dispatcher", environment, logs) as other:
            other.wait(lambda: owned(other) == 6, "all partitions for the other")
            stream.send(6)
            stream.wait_exact()
            stuck.wait(lambda: stuck.answer("/healthz")[0] == 503, "a health check that fails")
            hold.end()
            stuck.wait(lambda: stuck.metric("tidegate_rebalances_total", event="lost") == 6, "partitions lost")
            stuck.wait(lambda: owned(stuck) > 0 and owned(stuck) + owned(other) == 6, "partitions for both")
            stuck.wait(stuck.ready, "ready")
            assert stuck.answer("/healthz")[0] == 200
            stream.send(24)
            stream.wait_exact()


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_i2_dispatchers_that_are_killed_again_and_again_lose_nothing_and_double_nothing(
    deployment: Deployment, stream: Stream, logs: Path
) -> None:
    # The first record of each partition is slow, so the watermark stands still while later ones are published above it.
    stream.send(6, "SLEEP 4")
    for _ in range(3):
        with running("dispatcher", deployment.environment, logs) as dispatcher:
            stream.send(24)
            already = dispatcher.metric("tidegate_decided_total", capability="toy")
            dispatcher.wait(
                lambda d=dispatcher, n=already: d.metric("tidegate_decided_total", capability="toy") > n,  # type: ignore[misc]
                "something published",
            )
            time.sleep(1.5)  # a commit or two
            dispatcher.kill()
    with running("dispatcher", deployment.environment, logs):
        stream.wait_exact()


@pytest.mark.usefixtures("worker")
def test_a_sigterm_under_load_redelivers_nothing(
    deployment: Deployment, stream: Stream, topics: Topics, logs: Path
) -> None:
    with running("dispatcher", deployment.environment, logs) as first:
        stream.send(120)
        stream.send(12, "SLEEP 1")  # last, so that they are under way still when somebody looks
        first.wait(lambda: first.metric("tidegate_in_flight_messages") > 0, "something in flight")
        assert first.stop() == 0
    done = stream.answered()
    committed = sum(topics.committed("toy.requested").values())
    assert sum(done.values()) == committed  # whatever was taken in is published and committed
    with running("dispatcher", deployment.environment, logs) as second:
        stream.wait_exact()
        consumed = second.metric("tidegate_consumed_total", capability="toy")
        assert consumed == 132 - committed
        assert second.metric("tidegate_republish_suppressed_total", capability="toy") == 0


@pytest.mark.usefixtures("worker")
def test_a_group_whose_offsets_are_gone_publishes_nothing_a_second_time(
    deployment: Deployment, stream: Stream, topics: Topics, logs: Path
) -> None:
    stream.send(30)
    with running("dispatcher", deployment.environment, logs) as first:
        stream.wait_exact()
        assert first.stop() == 0
    # Kafka knows nothing of a group that was never there, as of one that was away for a week.
    with running("dispatcher", {**deployment.environment, "TIDEGATE_CONSUMER_GROUP": "another"}, logs) as second:
        second.wait(lambda: second.metric("tidegate_consumed_total", capability="toy") == 30, "all of it again")
        # Not by the gauge of what is in flight, which is set twice a second and may be of before the first record.
        second.wait(lambda: second.metric("tidegate_republish_suppressed_total", capability="toy") == 30, "none again")
        topics.send("toy.requested", [toy_event("fine", "new")], partition=0)
        second.wait(lambda: len(topics.read("toy.answered")) == 31, "the new one is answered")
    assert set(stream.answered().values()) == {1}


@pytest.mark.usefixtures("worker")
def test_i1_the_commit_waits_for_the_slowest_record_although_later_ones_are_done(
    deployment: Deployment, topics: Topics, logs: Path
) -> None:
    with running("dispatcher", deployment.environment, logs) as dispatcher:
        topics.send("toy.requested", [toy_event("SLEEP 600")], partition=0)
        dispatcher.wait(lambda: dispatcher.metric("tidegate_in_flight_messages") == 1, "it is in flight")
        topics.send("toy.requested", [toy_event("fine") for _ in range(8)], partition=0)
        topics.send("toy.requested", [toy_event("fine")], partition=1)
        dispatcher.wait(lambda: len(topics.read("toy.answered")) == 9, "the others are answered")
        dispatcher.wait(lambda: topics.committed("toy.requested").get(1) == 1, "a commit")
        assert topics.committed("toy.requested")[0] == 0
        assert dispatcher.metric("tidegate_watermark_lag_messages", partition="0") == 9
