"""One bad text in a batch of 64 is found and dead-lettered; its 63 neighbours are decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.errors import DeadLetterReason
from tests.integration.servers import Deployment, Servers
from tests.integration.spine.app import App, Sent
from tests.integration.spine.processes import KeptAlive, running
from tests.integration.spine.topics import Topics, review_event, toy_event
from tests.integration.spine.triton import NullTriton


def one_among_63(app: App, poison: str) -> tuple[Sent, list[Sent]]:
    """64 texts in one go, on one partition."""
    texts = [f"fine {n}" for n in range(64)]
    texts[40] = poison
    sent = app.send("content.submitted", *[review_event(text) for text in texts])
    return sent[40], sent[:40] + sent[41:]


def decided(app: App, sent: list[Sent]) -> bool:
    """Whether each has exactly one result."""
    wanted = {f"{one.partition}:{one.offset}" for one in sent}
    found = [r.header("tidegate-input") for r in app.topics.read("content.decided", since=sent[0].output_ends)]
    return sorted(found) == sorted(wanted)


def test_a_text_that_the_model_refuses_is_found(app: App) -> None:
    bad, good = one_among_63(app, "RAISE")
    letter = app.dead_letter(bad)
    assert letter.header("dlq-reason") == DeadLetterReason.MODEL_ERROR
    app.wait(lambda: decided(app, good), "63 results")
    app.wait_settled(bad, *good)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_text_that_kills_the_models_process_is_found(app: App, triton: NullTriton) -> None:
    bad, good = one_among_63(app, "EXIT")
    letter = app.dispatcher.wait(lambda: app.dead_letters(bad), "a dead letter", patience_s=300)[0]
    assert letter.header("dlq-reason") == DeadLetterReason.MODEL_CRASH
    assert "the model's process died" in letter.header("dlq-error")
    app.wait(lambda: decided(app, good), "63 results")
    app.wait_settled(bad, *good)
    assert app.dead_letters(bad) == [letter]
    app.wait(triton.healthy, "a healthy Triton for the next test")


@pytest.fixture
def quick(servers: Servers) -> Deployment:
    """A lost batch is noticed soon."""
    return servers.deploy(capabilities="tests.toy.capability:TOY", batch_deadline_s=1)


@pytest.fixture
def client(quick: Deployment) -> Iterator[Topics]:
    topics = Topics(quick.settings)
    yield topics
    topics.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_text_that_kills_the_only_worker_is_found(quick: Deployment, client: Topics, logs: Path) -> None:
    worker = KeptAlive("worker", quick.environment, logs)
    try:
        with running("dispatcher", quick.environment, logs) as dispatcher:
            texts = [f"fine {n}" for n in range(16)]
            texts[7] = "EXIT"
            placed = client.send("toy.requested", [toy_event(text) for text in texts])
            letter = dispatcher.wait(lambda: client.read("toy.requested.dlq"), "a dead letter", patience_s=300)[0]
            assert letter.header("dlq-reason") == DeadLetterReason.WORKER_LOST
            assert letter.header("dlq-offset") == str(placed[7][1])
            dispatcher.wait(lambda: len(client.read("toy.answered")) == 15, "15 answers")
            dispatcher.wait(lambda: sum(client.committed("toy.requested").values()) == 16, "committed")
            assert {record.event["id"] for record in client.read("toy.answered")} == {
                record.data["decision_id"] for record in client.read("toy.answered")
            }
            assert len(client.read("toy.requested.dlq")) == 1
        assert set(worker.ends) == {13}  # each end was the text's doing
    finally:
        worker.close()


def test_a_bug_in_a_pipeline_costs_only_the_text_that_meets_it(app: App) -> None:
    sent = app.send("toy.requested", *[toy_event("RAISE" if n == 3 else "fine") for n in range(8)])
    letter = app.dead_letter(sent[3])
    assert letter.header("dlq-reason") == DeadLetterReason.INTERNAL
    assert letter.header("dlq-error") == "the pipeline raised ValueError"
    app.wait_settled(*sent)
    assert len(app.topics.read("toy.answered", since=sent[0].output_ends)) == 7


def test_no_text_of_a_user_is_ever_logged(app: App) -> None:
    secret = "abracadabra-1f2e3d"
    sent = app.send("content.submitted", review_event(secret), secret.encode(), review_event(secret, tenant=secret))
    sent += app.send("toy.requested", toy_event(secret), toy_event("RAISE"))
    app.wait_settled(*sent)
    for process in (app.dispatcher, app.worker):
        assert secret not in process.log.read_text()
    assert app.dispatcher.log.read_text()
