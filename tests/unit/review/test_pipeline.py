"""Review: scores become decisions that the wire contract accepts; a bad text is rejected alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.capabilities import Rejection, Result, WorkItem
from services.errors import ConfigurationError, DeadLetterReason, PermanentError, TransientError
from services.events.content import CONTENT_DECIDED, ContentDecided
from services.inference import Answer
from services.review.pipeline import ReviewPipeline
from services.review.policy import Policy, PolicyFile
from tests.unit.inference.faulty_inference import FaultyInference

POLICY = Policy(PolicyFile.model_validate({"id": "test", "labels": {"spam": {"flag": 0.02}, "hate": {"block": 0.5}}}))


def item(text: str, number: int = 1) -> WorkItem:
    data = SimpleNamespace(content_id=f"c-{number}", author_id="a-1", text=text)
    return WorkItem(f"00000000-0000-5000-8000-{number:012d}", f"e-{number}", "default", data)


@pytest.fixture
def model() -> FaultyInference:
    return FaultyInference("review", labels="toxicity, spam,hate")


@pytest.fixture
def pipeline(model: FaultyInference) -> ReviewPipeline:
    return ReviewPipeline(model, POLICY, max_text_length=100)


def decided(result: Any) -> ContentDecided:
    """The result as the output event's data, validated."""
    assert isinstance(result, Result)
    extra = {
        "decision_id": "00000000-0000-5000-8000-000000000001",
        "event_id": "e",
        "decided_at": "2026-11-24T12:00:00Z",
    }
    found = CONTENT_DECIDED.validate(result.data | extra)
    assert isinstance(found, ContentDecided)
    return found


def test_a_decision_has_everything_that_the_contract_names(pipeline: ReviewPipeline) -> None:
    (result,) = pipeline.run([item("buy now")])
    decision = decided(result)
    assert (decision.content_id, decision.author_id) == ("c-1", "a-1")
    assert (decision.action, decision.severity) == ("flag", "low")
    assert decision.labels == {"toxicity": 0.01, "spam": 0.02, "hate": 0.03}
    assert [(reason.source, reason.label, reason.score) for reason in decision.reasons] == [("model", "spam", 0.02)]
    assert (decision.policy.id, decision.policy.version) == ("test", POLICY.version)
    assert decision.model is not None
    assert (decision.model.name, decision.model.version) == ("review", "1")
    assert "model" in decision.timings_ms


@pytest.mark.parametrize(
    "text", ["", "😀😀", "\u200b\u200d\ufeff", "x" * 100, "مرحبا بالعالم", "mixed 混合 смешанный", "\n\t", "e\u0301"]
)
def test_any_text_is_decided(pipeline: ReviewPipeline, text: str) -> None:
    (result,) = pipeline.run([item(text)])
    assert decided(result).action == "flag"


def test_a_label_of_the_policy_that_the_model_does_not_have_is_told_once(
    model: FaultyInference, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("services.review.pipeline._log", SimpleNamespace(warning=lambda _, **facts: told.append(facts)))
    policy = Policy(PolicyFile.model_validate({"id": "mine", "labels": {"hat": {"block": 0.5}}}))
    pipeline = ReviewPipeline(model, policy, max_text_length=100)
    pipeline.run([item("fine")])
    pipeline.run([item("fine")])
    assert told == [{"labels": ["hat"], "scored": ("toxicity", "spam", "hate")}]


def test_a_text_over_the_limit_is_rejected_alone_and_by_code_points(pipeline: ReviewPipeline) -> None:
    outcomes = pipeline.run([item("fine", 1), item("😀" * 101, 2), item("😀" * 100, 3)])
    assert isinstance(outcomes[0], Result)
    assert outcomes[1] == Rejection(DeadLetterReason.TEXT_TOO_LONG, "data.text has 101 code points; the limit is 100")
    assert isinstance(outcomes[2], Result)


def test_a_text_that_the_model_refuses_is_rejected_alone(pipeline: ReviewPipeline) -> None:
    outcomes = pipeline.run([item("a", 1), item("RAISE", 2), item("b", 3)])
    assert [type(outcome) for outcome in outcomes] == [Result, Rejection, Result]
    rejected = outcomes[1]
    assert isinstance(rejected, Rejection)
    assert rejected.reason is DeadLetterReason.MODEL_ERROR
    assert [o.data["content_id"] for o in outcomes if isinstance(o, Result)] == ["c-1", "c-3"]


def test_an_outage_passes_through(pipeline: ReviewPipeline, model: FaultyInference) -> None:
    model.away = True
    with pytest.raises(TransientError):
        pipeline.run([item("a")])


def test_only_rejections_need_no_model(pipeline: ReviewPipeline, model: FaultyInference) -> None:
    model.away = True
    assert [type(outcome) for outcome in pipeline.run([item("x" * 101)])] == [Rejection]


def test_a_model_that_names_another_number_of_labels_is_a_wrong_deployment() -> None:
    pipeline = ReviewPipeline(FaultyInference("review", labels="toxicity,spam"), POLICY, 100)
    with pytest.raises(ConfigurationError, match=r"names 2 labels .* and scores 3"):
        pipeline.run([item("a")])


class Scores(FaultyInference):
    """Answers with these scores and spans."""

    def __init__(self, scores: Any, spans: Any) -> None:
        super().__init__("review", labels="toxicity,spam,hate")
        self._answer = Answer({"SCORES": np.array(scores), "SPANS": np.array(spans, dtype=np.int32)}, "7")

    def infer(self, model: str, inputs: Any, outputs: Any) -> Answer:
        return self._answer


NO_SPANS = [[[0, 0]] * 3]


@pytest.mark.parametrize("scores", [[[np.nan, 0, 0]], [[np.inf, 0, 0]], [[0, 0, 0], [0, 0, 0]]])
def test_a_model_without_a_finite_score_for_every_text_fails_for_that_text(scores: Any) -> None:
    (outcome,) = ReviewPipeline(Scores(scores, NO_SPANS), POLICY, 100).run([item("a")])
    assert isinstance(outcome, Rejection)
    assert outcome.reason is DeadLetterReason.MODEL_ERROR


def test_the_stored_score_is_the_one_that_was_judged() -> None:
    (outcome,) = ReviewPipeline(Scores([[0, 0.019_96, 0]], NO_SPANS), POLICY, 100).run([item("a")])
    decision = decided(outcome)
    assert decision.labels["spam"] == 0.02
    assert decision.action == "flag"


@pytest.mark.parametrize(
    ("span", "shown"), [((0, 3), [(0, 3)]), ((1, 2), [(1, 2)]), ((0, 0), []), ((2, 1), []), ((-1, 2), []), ((0, 4), [])]
)
def test_a_span_that_is_not_in_the_text_is_left_out(span: tuple[int, int], shown: list[tuple[int, int]]) -> None:
    (outcome,) = ReviewPipeline(Scores([[0, 0.5, 0]], [[(0, 0), span, (0, 0)]]), POLICY, 100).run([item("abc")])
    (reason,) = decided(outcome).reasons
    assert [(s.start, s.end) for s in reason.spans] == shown


def test_a_refusal_carries_no_text(pipeline: ReviewPipeline) -> None:
    outcomes = pipeline.run([item("x" * 101), item("RAISE")])
    assert not any("RAISE" in o.message or "xxx" in o.message for o in outcomes if isinstance(o, Rejection))
    with pytest.raises(PermanentError):
        CONTENT_DECIDED.validate({})
