"""Lines of a file on their way to Kafka."""

from __future__ import annotations

import io
import json
from base64 import b64encode

import pytest

from services.cli.lines import bounded_lines, check_record, read_line, read_raw_line
from services.errors import DeadLetterReason, PermanentError
from services.events import Outgoing, decode
from services.events.content import CONTENT_SUBMITTED

GOOD = b'{"content_id":"c1","author_id":"a1","text":"\xe4\xbd\xa0\xe5\xa5\xbd"}'
EVENT = b'{"specversion":"1.0","id":"e1","source":"s","type":"tidegate.content.submitted.v1","data":' + GOOD + b"}"


def read(line: bytes, key: str | None = None, max_bytes: int = 100_000) -> Outgoing | None:
    return read_line(line, CONTENT_SUBMITTED, source="here", tenant="acme", key=key, max_bytes=max_bytes)


def test_a_data_object_becomes_an_event_of_the_given_source_and_tenant() -> None:
    record = read(GOOD)
    assert record is not None
    envelope = decode(record.value, [], max_bytes=100_000)
    assert (envelope.id, envelope.source, envelope.tenant) == (record.event_id, "here", "acme")
    assert envelope.type == "tidegate.content.submitted.v1"
    assert envelope.data == json.loads(GOOD)
    assert record.key == b"a1"


def test_the_same_data_object_gets_a_new_id_each_time() -> None:
    one, other = read(GOOD), read(GOOD)
    assert one is not None
    assert other is not None
    assert one.event_id != other.event_id


def test_a_whole_event_keeps_its_id_and_its_bytes() -> None:
    assert read(b"  " + EVENT + b"\r\n") == Outgoing("e1", b"a1", EVENT)


def test_an_event_whose_data_is_in_base64_goes_with_its_author_too() -> None:
    event = json.loads(EVENT)
    event["data_base64"] = b64encode(json.dumps(event.pop("data")).encode()).decode()
    record = read(json.dumps(event).encode())
    assert record is not None
    assert record.key == b"a1"


def test_a_given_key_replaces_the_author() -> None:
    record = read(GOOD, key="k")
    assert record is not None
    assert record.key == b"k"


@pytest.mark.parametrize("line", [b"", b"\n", b" \t\r\n"])
def test_an_empty_line_is_nothing(line: bytes) -> None:
    assert read(line) is None


def test_a_byte_order_mark_does_not_spoil_the_first_line() -> None:
    record = read(b"\xef\xbb\xbf" + GOOD)
    assert record is not None
    assert decode(record.value, [], max_bytes=100_000).data == json.loads(GOOD)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{broken", DeadLetterReason.NOT_JSON),
        (b"\xff", DeadLetterReason.NOT_UTF8),
        (b'"a text"', DeadLetterReason.NOT_CLOUDEVENT),
        (b"[]", DeadLetterReason.NOT_CLOUDEVENT),
        (b'{"content_id":"c","author_id":"a"}', DeadLetterReason.SCHEMA),
        (b'{"content_id":"c","author_id":"a","text":1}', DeadLetterReason.SCHEMA),
        (b'{"content_id":"c","author_id":"a","text":"x","text":"y"}', DeadLetterReason.DUPLICATE_KEY),
        (b'{"content_id":"c","author_id":"a","text":"\\u0000"}', DeadLetterReason.NUL_CHARACTER),
        (b'{"content_id":"c","author_id":"a","text":"\\ud800"}', DeadLetterReason.LONE_SURROGATE),
        (EVENT.replace(b"submitted.v1", b"submitted.v2"), DeadLetterReason.UNKNOWN_TYPE),
        (EVENT.replace(b'"id":"e1",', b""), DeadLetterReason.NOT_CLOUDEVENT),
    ],
)
def test_what_the_pipeline_would_refuse_is_refused_with_its_reason(line: bytes, reason: DeadLetterReason) -> None:
    with pytest.raises(PermanentError) as raised:
        read(line)
    assert raised.value.reason == reason


def test_a_refusal_names_the_byte_of_the_line_and_not_of_the_event_around_it() -> None:
    with pytest.raises(PermanentError, match=r"byte 20\b"):
        read(b'{"content_id":"c1", "content_id":"c2"}')


def test_a_line_above_the_limit_is_too_large() -> None:
    with pytest.raises(PermanentError) as raised:
        read(GOOD, max_bytes=len(GOOD) - 1)
    assert raised.value.reason == DeadLetterReason.TOO_LARGE


@pytest.mark.parametrize("line", [b"rubbish", b"", b" {\r", b"\xff\x00", b'{"text": 1}'])
def test_a_raw_line_keeps_every_byte_but_its_line_end(line: bytes) -> None:
    assert read_raw_line(line + b"\n", CONTENT_SUBMITTED, key=None) == Outgoing(None, None, line)


def test_a_raw_event_has_its_own_id_and_key() -> None:
    assert read_raw_line(EVENT, CONTENT_SUBMITTED, key=None) == Outgoing("e1", b"a1", EVENT)


def test_a_record_that_is_fine_gives_its_key() -> None:
    assert check_record(EVENT, [], CONTENT_SUBMITTED, max_bytes=100_000) == b"a1"


def test_a_line_longer_than_the_limit_is_skipped_and_the_next_one_read() -> None:
    stream = io.BytesIO(b"12345\n" + b"x" * 23 + b"\n" + b"67890\nend")
    assert list(bounded_lines(stream, 5)) == [b"12345\n", None, b"67890\n", b"end"]


def test_a_last_line_that_is_too_long_ends_the_file() -> None:
    assert list(bounded_lines(io.BytesIO(b"1\n" + b"x" * 11), 5)) == [b"1\n", None]
