"""A server goes away for a while and comes back: nothing is lost, nothing doubled, nothing dead-lettered, and nobody lends a hand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.storage import DeadLetterStore
from tests.integration.servers import Servers
from tests.integration.spine.app import App, Sent, running_app
from tests.integration.spine.parts import Way, away, unsupervised
from tests.integration.spine.topics import review_event
from tests.integration.spine.triton import NullTriton

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

#: Long enough to outlast the patience of the worker and the deadline of a batch in these tests, twice.
AWAY_S = 6.0

#: Which circuits may show that a part is away: who notices first depends on what is under way.
CIRCUITS = {
    "postgres": {"postgres"},
    "valkey": {"broker"},
    "triton": {"inference"},
    "kafka": {"kafka-commits", "kafka-output"},
}


#: Part → when it goes away, in seconds, and how. Each for a minute, so that for twenty seconds all three are away.
STAGGERED: dict[str, tuple[float, Way]] = {
    "triton": (0, "killed"),
    "postgres": (20, "frozen"),  # its supervisor, which is Valkey's too, can start one of them only when both may start
    "valkey": (40, "killed"),
}


@pytest.fixture(scope="module")
def tough(servers: Servers, triton: NullTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app that loses patience soon, so that each outage outlasts all its timeouts."""
    deployment = servers.deploy(
        triton_grpc=triton.grpc,
        batch_size=4,
        batch_deadline_s=1.5,
        worker_patience_s=1.5,
        statement_timeout_s=1,
        session_timeout_ms=60_000,  # the dispatcher stays a member of the group whatever happens
    )
    with running_app(deployment, tmp_path_factory.mktemp("tough")) as started:
        yield started


def texts(name: str, count: int) -> list[bytes]:
    return [review_event(f"{name} {n}") for n in range(count)]


def open_circuits(app: App) -> set[str]:
    names = set().union(*CIRCUITS.values()) | {"workers"}
    return {name for name in names if app.dispatcher.metric("tidegate_circuit_open", dependency=name)}


def all_decided_once(app: App, sent: list[Sent]) -> bool:
    wanted = Counter(f"{one.partition}:{one.offset}" for one in sent)
    found = Counter(r.header("tidegate-input") for r in app.topics.read("content.decided", since=sent[0].output_ends))
    assert found <= wanted, f"doubled: {found - wanted}"
    return found == wanted


def folder_of(part: str, scratch: Path) -> Path:
    return scratch / ("triton/stack" if part == "triton" else "servers")


def stored(app: App) -> list[str]:
    """The event of each row."""
    with app.deployment.database() as database, database.cursor("test") as cursor:
        cursor.execute("SELECT event_id FROM review_decision")
        return [event_id for (event_id,) in cursor.fetchall()]


def test_i6_with_default_timings_three_overlapping_outages_of_a_minute_cost_nothing(
    servers: Servers, triton: NullTriton, scratch: Path, logs: Path
) -> None:
    def outage(part: str) -> None:
        begins_s, way = STAGGERED[part]
        time.sleep(begins_s)
        with away(folder_of(part, scratch), part, way):
            time.sleep(60)

    sent: list[Sent] = []
    seen: set[str] = set()
    with running_app(servers.deploy(triton_grpc=triton.grpc), logs) as app, ThreadPoolExecutor(len(STAGGERED)) as pool:
        with unsupervised(folder_of("postgres", scratch)):
            outages = [pool.submit(outage, part) for part in STAGGERED]
            while not all(one.done() for one in outages):
                number = len(sent)
                sent += app.send("content.submitted", *texts(f"text {number}", 3), key=str(number).encode())
                seen |= open_circuits(app)
                assert app.dispatcher.answer("/healthz")[0] == app.worker.answer("/healthz")[0] == 200
                time.sleep(0.5)
        for one in outages:
            one.result()
        assert seen >= {"inference", "postgres", "broker"}
        app.wait(lambda: all_decided_once(app, sent), "a result for each")
        app.wait(lambda: sum(app.topics.committed("content.submitted").values()) == len(sent), "everything committed")
        app.wait(lambda: not open_circuits(app), "closed circuits")
        app.wait(app.dispatcher.ready, "a dispatcher that is ready")
        app.wait(app.worker.ready, "a worker that is ready")
        assert all_decided_once(app, sent)
        assert len(stored(app)) == len(set(stored(app))) == len(sent)
        assert app.topics.read("content.submitted.dlq") == []
        with app.deployment.database() as database:
            assert DeadLetterStore(database).find(limit=1) == []
        assert app.dispatcher.metric("tidegate_dead_lettered_total") == 0
        # No batch was blamed for what it lost: the outages explain every one that went missing.
        assert app.dispatcher.metric("tidegate_batches_resent_total", cause="lost") == 0
        assert app.dispatcher.metric("tidegate_quarantined_batches") == 0


@pytest.mark.parametrize("way", ["frozen", "killed"])
@pytest.mark.parametrize("part", ["postgres", "valkey", "triton", "kafka"])
def test_i6_an_outage_is_waited_for_and_the_flow_goes_on_by_itself(
    tough: App, scratch: Path, part: str, way: Way
) -> None:
    folder = folder_of(part, scratch)
    lettered = tough.dispatcher.metric("tidegate_dead_lettered_total")
    sent = tough.send("content.submitted", *texts("before", 40))
    if part == "kafka":
        tough.wait_settled(*sent)
        sent += tough.send("content.submitted", *texts("at the moment of the outage", 40))
        tough.topics.close()
    with away(folder, part, way):
        if part != "kafka":
            sent += tough.send("content.submitted", *texts("during", 40))
        seen = tough.wait(lambda: open_circuits(tough) & CIRCUITS[part], f"the circuit of {part} in /metrics")
        assert any(name in tough.dispatcher.problems() for name in seen)
        assert tough.dispatcher.answer("/healthz")[0] == 200
        assert tough.worker.answer("/healthz")[0] == 200
        time.sleep(AWAY_S)
    if part == "kafka":
        tough.topics.open()
    sent += tough.send("content.submitted", *texts("after", 40))
    tough.wait(lambda: all_decided_once(tough, sent), "a result for each")
    tough.wait_settled(*sent)
    assert tough.topics.read("content.submitted.dlq") == []
    assert tough.dispatcher.metric("tidegate_dead_lettered_total") == lettered
    tough.wait(lambda: not open_circuits(tough), "closed circuits")
    tough.wait(tough.dispatcher.ready, "a dispatcher that is ready")
    tough.wait(tough.worker.ready, "a worker that is ready")
    assert all_decided_once(tough, sent)
    assert tough.dispatcher.metric("tidegate_quarantined_batches") == 0


def test_a_flushed_broker_loses_nothing(tough: App) -> None:
    import redis

    client = redis.Redis.from_url(tough.deployment.settings.valkey_url.get_secret_value())
    sent = []
    try:
        for number in range(4):
            sent += tough.send("content.submitted", *texts(f"flush {number}", 40))
            client.flushall()
    finally:
        client.close()
    tough.wait(lambda: all_decided_once(tough, sent), "a result for each")
    tough.wait_settled(*sent)
    assert tough.topics.read("content.submitted.dlq") == []
