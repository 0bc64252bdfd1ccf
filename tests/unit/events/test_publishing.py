"""Publishing fills in what was left out, mends nothing, and sends what it was given."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.errors import PermanentError
from services.events import build, decode, prepare, prepare_line
from services.events.content import CONTENT_SUBMITTED

DATA = {"content_id": "c-1", "author_id": "a-1", "text": "你好"}
WHOLE = {"specversion": "1.0", "id": "e-1", "source": "mine", "type": "tidegate.content.submitted.v1", "data": DATA}


def test_a_data_object_becomes_a_whole_event() -> None:
    record = prepare(DATA, CONTENT_SUBMITTED, source="cli", tenant="acme")
    event = decode(record.value, [], max_bytes=10_000)
    assert (event.id, event.source, event.tenant, event.data) == (record.event_id, "cli", "acme", DATA)
    assert event.type == CONTENT_SUBMITTED.type
    assert event.time is not None
    assert abs(datetime.now(UTC) - datetime.fromisoformat(event.time)) < timedelta(minutes=1)
    assert record.key == b"a-1"


def test_each_data_object_is_an_event_of_its_own() -> None:
    assert build(DATA, CONTENT_SUBMITTED, source="cli") != build(DATA, CONTENT_SUBMITTED, source="cli")


def test_a_whole_event_is_sent_as_it_is() -> None:
    record = prepare(WHOLE, CONTENT_SUBMITTED, source="cli", tenant="acme")
    assert json.loads(record.value) == WHOLE
    assert (record.event_id, record.key) == ("e-1", b"a-1")


def test_a_line_keeps_its_own_bytes() -> None:
    line = b' {"author_id": "a-1",  "text": "\\u4f60", "text": 1.50} \n'
    record = prepare_line(line, CONTENT_SUBMITTED, source="cli")
    assert record.value.endswith(b'"data":' + line.strip() + b"}")
    assert record.key == b"a-1"
    with pytest.raises(PermanentError, match="second time"):
        decode(record.value, [], max_bytes=10_000)


def test_a_line_with_a_whole_event_keeps_its_own_bytes() -> None:
    line = json.dumps(WHOLE, indent=None, separators=(" , ", " : ")).encode()
    record = prepare_line(line, CONTENT_SUBMITTED, source="cli")
    assert (record.value, record.event_id, record.key) == (line, "e-1", b"a-1")


@pytest.mark.parametrize("line", [b"not json", b"[1]", b"7", b"\xff", b"", b'{"a":', b"[" * 100_000])
def test_a_line_that_is_no_object_is_sent_all_the_same(line: bytes) -> None:
    record = prepare_line(line, CONTENT_SUBMITTED, source="cli")
    assert (record.event_id, record.key, record.value) == (None, None, line)


def test_an_event_without_a_key_or_an_id_is_sent_too() -> None:
    record = prepare({"specversion": "1.0", "data": []}, CONTENT_SUBMITTED, source="cli")
    assert (record.event_id, record.key) == (None, None)
    assert prepare({"text": 7}, CONTENT_SUBMITTED, source="cli").key is None


@pytest.mark.parametrize("text", ["\ud800", 2**80])
def test_what_no_column_can_hold_can_still_be_published_and_is_refused_on_arrival(text: object) -> None:
    with pytest.raises(PermanentError):
        decode(build({**DATA, "text": text}, CONTENT_SUBMITTED, source="cli"), [], max_bytes=10_000)
