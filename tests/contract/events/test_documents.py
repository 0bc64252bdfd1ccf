"""The generated documents say what the code does, and the committed files are the generated ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.errors import PermanentError
from services.events import EventType, build, decode
from services.events.catalogue import input_types, output_types
from services.events.content import CONTENT_DECIDED, CONTENT_SUBMITTED
from services.events.schema import documents, event_schema, main

CONTRACT = Path(__file__).parents[3] / "docs" / "contract"
EVENTS = (*input_types(), *output_types())

SUBMITTED: dict[str, Any] = {"content_id": "c-1", "author_id": "a-1", "text": ""}
DECIDED: dict[str, Any] = {
    "decision_id": "6e0ba5a4-2b07-5d6d-8a40-1d5a6d1a4a0e",
    "event_id": "e-1",
    "content_id": "c-1",
    "author_id": "a-1",
    "action": "flag",
    "severity": "low",
    "labels": {"spam": 0.6},
    "reasons": [{"source": "model", "label": "spam", "score": 0.6, "spans": [{"start": 0, "end": 2}]}],
    "policy": {"id": "default", "version": "1"},
    "model": {"name": "review", "version": "1"},
    "timings_ms": {"model": 3.5},
    "decided_at": "2026-11-24T09:00:00Z",
}


def test_the_committed_documents_are_the_generated_ones() -> None:
    committed = {path.name: path.read_text("utf-8") for path in CONTRACT.iterdir()}
    assert committed == documents(), "run `make contract` and commit what it writes"


def test_check_names_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "contract")]) == 0
    assert main(["--out", str(tmp_path / "contract"), "--check"]) == 0
    (tmp_path / "contract" / "asyncapi.yaml").write_text("asyncapi: 2.0.0\n")
    (tmp_path / "contract" / "forgotten.schema.json").write_text("{}")
    assert main(["--out", str(tmp_path / "contract"), "--check"]) == 1
    assert capsys.readouterr().err.startswith("asyncapi.yaml, forgotten.schema.json: ")
    assert main(["--out", str(tmp_path / "contract")]) == 0
    assert main(["--out", str(tmp_path / "contract"), "--check"]) == 0


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.topic)
def test_each_schema_is_a_json_schema(event: EventType) -> None:
    Draft202012Validator.check_schema(event_schema(event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.topic)
def test_each_partition_key_is_a_required_text(event: EventType) -> None:
    data = event_schema(event)["properties"]["data"]
    assert event.key in data["required"]
    assert data["properties"][event.key]["type"] == "string"


@pytest.mark.parametrize(("event", "data"), [(CONTENT_SUBMITTED, SUBMITTED), (CONTENT_DECIDED, DECIDED)])
def test_what_we_publish_fits_the_schema(event: EventType, data: dict[str, Any]) -> None:
    Draft202012Validator(event_schema(event)).validate(json.loads(build(data, event, source="test")))


@pytest.mark.parametrize(
    "data",
    [
        SUBMITTED,
        {**SUBMITTED, "language": "zh", "kind": "comment", "attributes": {"a": [1]}, "novel": 1},
        {**SUBMITTED, "text": 5},
        {**SUBMITTED, "text": None},
        {**SUBMITTED, "content_id": ""},
        {**SUBMITTED, "author_id": "x" * 1025},
        {**SUBMITTED, "language": "fr"},
        {**SUBMITTED, "language": None},
        {**SUBMITTED, "attributes": []},
        {"content_id": "c-1"},
    ],
)
def test_schema_and_model_judge_alike(data: dict[str, Any]) -> None:
    value = build(data, CONTENT_SUBMITTED, source="test")
    fits = Draft202012Validator(event_schema(CONTENT_SUBMITTED)).is_valid(json.loads(value))
    try:
        CONTENT_SUBMITTED.validate(decode(value, [], max_bytes=10_000).data)
    except PermanentError:
        assert not fits
    else:
        assert fits


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = yaml.safe_load(documents()["asyncapi.yaml"])
    references = list(_references(document))
    assert references
    for reference in references:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_input_topic_has_a_dead_letter_channel() -> None:
    addresses = {channel["address"] for channel in yaml.safe_load(documents()["asyncapi.yaml"])["channels"].values()}
    assert {event.topic for event in EVENTS} | {event.dead_letter_topic for event in input_types()} == addresses


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
