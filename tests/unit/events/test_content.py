"""What a submitted content and a decision may hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.errors import DeadLetterReason, PermanentError
from services.events import EventType
from services.events.content import (
    CONTENT_DECIDED,
    CONTENT_SUBMITTED,
    Action,
    ContentDecided,
    ContentSubmitted,
    Severity,
)

SUBMITTED = {"content_id": "c-1", "author_id": "a-1", "text": "你好"}
DECIDED: dict[str, Any] = {
    "decision_id": "6e0ba5a4-2b07-5d6d-8a40-1d5a6d1a4a0e",
    "event_id": "e-1",
    "content_id": "c-1",
    "author_id": "a-1",
    "action": "block",
    "severity": "high",
    "labels": {"hate": 0.97, "hate.sexism": 0.4, "spam": 0},
    "reasons": [
        {"source": "model", "label": "hate", "score": 0.97, "spans": [{"start": 0, "end": 4}]},
        {"source": "rule", "rule": "threshold.hate.block"},
    ],
    "policy": {"id": "default", "version": "4f2a"},
    "model": {"name": "review", "version": "1"},
    "timings_ms": {"model": 12.5},
    "decided_at": "2026-11-24T09:00:00.123Z",
}


def refusal(event: EventType, data: dict[str, Any]) -> str:
    with pytest.raises(PermanentError) as caught:
        event.validate(data)
    assert caught.value.reason is DeadLetterReason.SCHEMA
    return str(caught.value)


def test_the_names_on_the_wire_are_derived_from_the_topic() -> None:
    assert CONTENT_SUBMITTED.type == "tidegate.content.submitted.v1"
    assert CONTENT_SUBMITTED.dead_letter_topic == "content.submitted.dlq"
    assert CONTENT_DECIDED.type == "tidegate.content.decided.v1"


def test_three_fields_are_enough() -> None:
    content = CONTENT_SUBMITTED.validate(SUBMITTED)
    assert isinstance(content, ContentSubmitted)
    assert (content.text, content.language, content.kind, content.attributes) == ("你好", None, None, None)


@pytest.mark.parametrize("text", ["", "\u200b\u200d", "🙂🙂", "ש" * 99_999])
def test_any_text_is_a_text(text: str) -> None:
    content = CONTENT_SUBMITTED.validate({**SUBMITTED, "text": text})
    assert isinstance(content, ContentSubmitted)
    assert content.text == text


def test_unknown_fields_are_ignored() -> None:
    assert CONTENT_SUBMITTED.validate({**SUBMITTED, "novel": 1}) == CONTENT_SUBMITTED.validate(SUBMITTED)


@pytest.mark.parametrize("missing", ["content_id", "author_id", "text"])
def test_a_missing_field_is_named(missing: str) -> None:
    data = {key: value for key, value in SUBMITTED.items() if key != missing}
    assert refusal(CONTENT_SUBMITTED, data) == f"data.{missing}: Field required"


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("text", 5),
        ("text", None),
        ("text", ["x"]),
        ("content_id", 7),
        ("content_id", ""),
        ("author_id", "x" * 1025),
        ("language", "fr"),
        ("kind", 1),
        ("attributes", []),
        ("attributes", "x"),
    ],
)
def test_a_field_of_the_wrong_type_is_named_and_not_shown(field: str, bad: object) -> None:
    assert refusal(CONTENT_SUBMITTED, {**SUBMITTED, field: bad}).startswith(f"data.{field}: ")


def test_every_fault_is_told_and_no_value() -> None:
    message = refusal(
        CONTENT_SUBMITTED, {"content_id": {"hunter2": 1}, "author_id": ["hunter2"], "language": "hunter2"}
    )
    assert [part.split(":")[0] for part in message.split("; ")] == [
        "data.content_id",
        "data.author_id",
        "data.text",
        "data.language",
    ]
    assert "hunter2" not in message


def test_the_partition_key_is_the_author() -> None:
    assert CONTENT_SUBMITTED.partition_key({"author_id": "阿"}) == "阿".encode()
    assert CONTENT_SUBMITTED.partition_key({}) is None
    assert CONTENT_SUBMITTED.partition_key({"author_id": 7}) is None
    assert CONTENT_SUBMITTED.partition_key({"author_id": ""}) is None


def test_a_decision_has_types_inside() -> None:
    decision = CONTENT_DECIDED.validate(DECIDED)
    assert isinstance(decision, ContentDecided)
    assert decision.action is Action.BLOCK
    assert decision.severity is Severity.HIGH
    assert decision.decided_at == datetime(2026, 11, 24, 9, 0, 0, 123_000, UTC)
    assert decision.reasons[0].spans[0].end == 4


def test_a_decision_survives_the_wire() -> None:
    decision = CONTENT_DECIDED.validate(DECIDED)
    assert CONTENT_DECIDED.validate(decision.model_dump(mode="json")) == decision


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("action", "delete"),
        ("severity", 3),
        ("labels", {"hate": 1.5}),
        ("labels", {"hate": "0.5"}),
        ("reasons", [{"source": "oracle"}]),
        ("reasons", [{"source": "model", "spans": [{"start": -1, "end": 2}]}]),
        ("policy", {"id": "default"}),
        ("decided_at", 1_790_000_000),
        ("decided_at", "1790000000"),
        ("decided_at", "2026-11-24T09:00:00"),
        ("decision_id", "1"),
    ],
)
def test_a_decision_that_is_none_is_refused(field: str, bad: object) -> None:
    assert refusal(CONTENT_DECIDED, {**DECIDED, field: bad}).startswith(f"data.{field}: ")
