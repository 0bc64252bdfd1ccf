"""A server goes away for a while and comes back: nothing is lost, nothing doubled, nothing dead-lettered, and nobody lends a hand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import Servers
from tests.integration.spine.app import App, Sent, running_app
from tests.integration.spine.parts import Way, away
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


@pytest.mark.parametrize("way", ["frozen", "killed"])
@pytest.mark.parametrize("part", ["postgres", "valkey", "triton", "kafka"])
def test_i6_an_outage_is_waited_for_and_the_flow_goes_on_by_itself(
    tough: App, scratch: Path, part: str, way: Way
) -> None:
    folder = scratch / ("triton/stack" if part == "triton" else "servers")
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
