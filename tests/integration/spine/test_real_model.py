"""The review model that is shipped, in a real Triton, behind the whole spine. Everywhere else a null model is enough."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.embedded import read_state, running_parts
from services.events.content import CONTENT_DECIDED, Action, ContentDecided
from tests.integration.servers import Servers
from tests.integration.spine.app import App, running_app
from tests.integration.spine.processes import Process, running
from tests.integration.spine.topics import review_event

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).resolve().parents[3] / "model_repo"

#: Texts of one request, and requests that one worker has under way: so a worker has their product with Triton at most.
BATCH, THREADS = 4, 8


@dataclass(frozen=True, slots=True)
class RealTriton:
    """Where it answers."""

    grpc: str
    http: str

    def batches(self) -> dict[int, int]:
        """How often the model ran on so many texts at once, by Triton's own account."""
        with urllib.request.urlopen(f"http://{self.http}/v2/models/review/stats", timeout=10) as answer:
            (stats,) = json.load(answer)["model_stats"]
        return {int(one["batch_size"]): int(one["compute_infer"]["count"]) for one in stats["batch_stats"]}


@pytest.fixture(scope="module")
def triton(scratch: Path, _own_environment: None) -> Iterator[RealTriton]:
    with running_parts(scratch / "real-triton", {"triton"}, model_repositories=[REPOSITORY]) as environment:
        state = read_state(scratch / "real-triton")
        assert state is not None
        assert state.endpoints.triton.http is not None
        yield RealTriton(environment["TIDEGATE_TRITON_GRPC"], state.endpoints.triton.http)


@pytest.fixture(scope="module")
def app(servers: Servers, triton: RealTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    deployment = servers.deploy(
        triton_grpc=triton.grpc,
        batch_size=BATCH,
        worker_concurrency=THREADS,
        in_flight_messages=256,  # with more, waiting batches are joined, and a request may be larger than one
    )
    with running_app(deployment, tmp_path_factory.mktemp("real")) as started:
        yield started


@pytest.fixture
def second_worker(app: App, logs: Path) -> Iterator[Process]:
    with running("worker", app.deployment.environment, logs) as worker:
        worker.wait_ready()
        yield worker


def test_a_text_of_99_999_chinese_characters_is_judged_by_its_worst_part_and_told_where_that_is(app: App) -> None:
    good = "今天下午我们去图书馆还书，路上买了两斤苹果，然后在公园里散步，看到湖边的荷花开得很好。"
    bad = "你真是个废物，傻逼，滚出去，去死吧，别再让我看到你。"
    front = (good * 2000)[:60_000]
    text = (front + bad * 3 + good * 2000)[:99_999]
    assert len(text) == 99_999
    (sent,) = app.send("content.submitted", review_event(text))
    event = app.dispatcher.wait(lambda: app.results(sent), "a decision", patience_s=400)[0]
    decision = CONTENT_DECIDED.validate(event.data)
    assert isinstance(decision, ContentDecided)
    assert decision.model is not None
    assert decision.action is not Action.ALLOW
    (reason,) = [one for one in decision.reasons if one.label == "toxicity"]
    (span,) = reason.spans
    assert len(front) - 200 < span.start < span.end < len(front) + 3 * len(bad) + 200  # in one of the windows around it
    app.wait_settled(sent)
    assert app.dead_letters(sent) == []


def test_triton_merges_requests_of_two_workers(app: App, triton: RealTriton, second_worker: Process) -> None:
    before = triton.batches()
    sent = []
    give_up_at = time.monotonic() + 120

    def of_both() -> dict[int, int]:
        """Runs on more texts than one worker can have there, and the canary of the supervisor besides."""
        now = triton.batches()
        return {n: now[n] - before.get(n, 0) for n in now if n > BATCH * THREADS + 1 and now[n] > before.get(n, 0)}

    while not of_both():
        assert time.monotonic() < give_up_at, sorted(triton.batches().items())
        texts = [f"Museum number {number} opens at ten and its garden is free. " * 3 for number in range(128)]
        sent += app.send("content.submitted", *map(review_event, texts))
        app.wait(lambda: app.dispatcher.metric("tidegate_in_flight_messages") < 128, "room for more")
    for worker in (app.worker, second_worker):
        assert worker.metric("tidegate_task_seconds_count", capability="review", outcome="done") > 0
    app.wait_settled(sent[-1])
    assert app.topics.read("content.submitted.dlq") == []
