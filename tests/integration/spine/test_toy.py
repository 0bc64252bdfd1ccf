"""The toy capability, which lives in the tests alone, runs through the whole spine: nothing there knows it by name."""

from __future__ import annotations

from pathlib import Path

from services.storage import ResultStore
from tests.integration.servers import Deployment
from tests.integration.spine.processes import running
from tests.integration.spine.topics import Topics, toy_event


def test_a_toy_event_becomes_a_row_and_an_event(deployment: Deployment, topics: Topics, logs: Path) -> None:
    with (
        running("worker", deployment.environment, logs),
        running("dispatcher", deployment.environment, logs) as dispatcher,
    ):
        topics.send("toy.requested", [toy_event("five!", "e-1")])
        answers = dispatcher.wait(lambda: topics.read("toy.answered"), "an answer")
        assert [(a.event["type"], a.data["event_id"], a.data["length"]) for a in answers] == [
            ("tidegate.toy.answered.v1", "e-1", 5)
        ]
        with deployment.database() as database:
            rows = ResultStore(database, "toy_answer").read([answers[0].data["decision_id"]])
        assert len(rows) == 1
        dispatcher.wait(lambda: sum(topics.committed("toy.requested").values()) == 1, "committed")
        assert dispatcher.metric("tidegate_decided_total", capability="toy") == 1
        assert dispatcher.stop() == 0
