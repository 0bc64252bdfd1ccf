"""When every message fails, the deployment is wrong: consumption stops and says so, and what was not given up is delivered again."""

from __future__ import annotations

from pathlib import Path

from tests.integration.servers import Servers
from tests.integration.spine.processes import running
from tests.integration.spine.topics import Topics, toy_event


def test_a_hundred_percent_of_failures_stop_consumption_and_a_repaired_deployment_goes_on(
    servers: Servers, logs: Path
) -> None:
    deployment = servers.deploy(
        capabilities="tests.toy.capability:TOY",
        dead_letter_max_consecutive=20,
        batch_size=4,
        in_flight_messages=16,
        shutdown_grace_s=1,
    )
    topics = Topics(deployment.settings)
    try:
        with running("worker", deployment.environment, logs):
            with running("dispatcher", deployment.environment, logs) as dispatcher:
                topics.send("toy.requested", [toy_event("RAISE") for _ in range(100)])
                dispatcher.wait(lambda: dispatcher.metric("tidegate_dead_letter_limit_hit") == 1, "the limit")
                problem = dispatcher.problems()["dead_letter_limit"]
                assert problem.startswith("consumption is stopped: 20 accepted messages in a row failed")
                assert not dispatcher.ready()
                assert dispatcher.answer("/healthz")[0] == 200  # a restart would repair nothing
                topics.send("toy.requested", [toy_event("fine") for _ in range(50)])

                # Letters may still be on their way, and batches come back in any order: committed is what was given up without a gap.
                dispatcher.wait(
                    lambda: sum(topics.committed("toy.requested").values()) == _given_up(topics), "committed"
                )
                assert dispatcher.metric("tidegate_consumed_total", capability="toy") <= 100
                assert dispatcher.stop() == 0
            lettered = len(topics.read("toy.requested.dlq"))
            assert lettered < 20

            repaired = {**deployment.environment, "TIDEGATE_DEAD_LETTER_MAX_CONSECUTIVE": "1000"}
            with running("dispatcher", repaired, logs) as dispatcher:
                dispatcher.wait(lambda: sum(topics.committed("toy.requested").values()) == 150, "everything settled")
        letters = topics.read("toy.requested.dlq")
        assert len({(letter.header("dlq-partition"), letter.header("dlq-offset")) for letter in letters}) == 100
        assert len(topics.read("toy.answered")) == 50
    finally:
        topics.close()


def _given_up(topics: Topics) -> int:
    """How many messages from the first one on have a dead letter, without a gap; all of them are in one partition."""
    offsets = {int(letter.header("dlq-offset")) for letter in topics.read("toy.requested.dlq")}
    return next(count for count in range(len(offsets) + 1) if count not in offsets)
