"""A Kafka record becomes an envelope, or is refused with a reason that names the place and never the text."""

from __future__ import annotations

import json
import timeit
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import DeadLetterReason as Reason
from services.errors import PermanentError
from services.events import Envelope, content_hash, decision_id, decode, encode
from tests.unit.events.json_documents import json_texts

EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "forum/web",
    "type": "tidegate.content.submitted.v1",
    "data": {"content_id": "c-1", "author_id": "a-1", "text": "你好"},
}
BINARY = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e-1"),
    ("ce_source", b"forum/web"),
    ("ce_type", b"tidegate.content.submitted.v1"),
]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LIMIT = 1_000_000


def structured(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def refusal(
    value: bytes | None, headers: list[tuple[str, Any]] | None = None, max_bytes: int = LIMIT
) -> tuple[Reason, str]:
    with pytest.raises(PermanentError) as caught:
        decode(value, headers or [], max_bytes=max_bytes)
    return caught.value.reason, str(caught.value)


# --- the two modes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-anything", b"\xff")],
        [("content-type", b"application/cloudevents+json")],
        [("Content-Type", b"application/cloudevents+json; charset=UTF-8")],
        [("content-type", b"application/json")],
    ],
)
def test_a_structured_event_needs_no_header_and_minds_none(headers: list[tuple[str, bytes]]) -> None:
    assert decode(structured(), headers, max_bytes=LIMIT) == Envelope(
        id="e-1",
        source="forum/web",
        type="tidegate.content.submitted.v1",
        tenant="default",
        data={"content_id": "c-1", "author_id": "a-1", "text": "你好"},
    )


def test_every_optional_attribute_is_carried() -> None:
    envelope = decode(
        structured(tenant="acme", time="2026-11-24T09:00:00.5+08:00", subject="c-1", traceparent=TRACE),
        [],
        max_bytes=LIMIT,
    )
    assert (envelope.tenant, envelope.time, envelope.subject) == ("acme", "2026-11-24T09:00:00.5+08:00", "c-1")
    assert envelope.traceparent == TRACE


def test_a_binary_event_is_the_same_event() -> None:
    value = json.dumps(EVENT["data"]).encode()
    headers = [*BINARY, ("content-type", b"application/json"), ("CE_Tenant", b"acme"), ("ce_subject", "标题".encode())]
    envelope = decode(value, headers, max_bytes=LIMIT)
    assert envelope == decode(structured(tenant="acme", subject="标题"), [], max_bytes=LIMIT)


def test_a_structured_content_type_wins_over_ce_headers() -> None:
    headers = [("content-type", b"application/cloudevents+json"), ("ce_id", b"another")]
    assert decode(structured(), headers, max_bytes=LIMIT).id == "e-1"


def test_an_attribute_that_is_null_is_absent() -> None:
    envelope = decode(structured(tenant=None, time=None, subject=None, traceparent=None), [], max_bytes=LIMIT)
    assert (envelope.tenant, envelope.time, envelope.subject) == ("default", None, None)


def test_unknown_attributes_and_fields_are_ignored() -> None:
    envelope = decode(structured(comexampleextension=7, data={"text": "", "novel": [1]}), [], max_bytes=LIMIT)
    assert envelope.data == {"text": "", "novel": [1]}


def test_data_may_come_in_base64() -> None:
    event = {key: value for key, value in EVENT.items() if key != "data"}
    event["data_base64"] = b64encode(json.dumps(EVENT["data"]).encode()).decode()
    assert decode(json.dumps(event).encode(), [], max_bytes=LIMIT).data == EVENT["data"]


@pytest.mark.parametrize("other", ["data", "data_base64"])
def test_an_attribute_that_is_null_is_not_there(other: str) -> None:
    event: dict[str, Any] = {**EVENT, "datacontenttype": None, "subject": None, "time": None, "data_base64": None}
    if other == "data":
        event |= {"data": None, "data_base64": b64encode(json.dumps(EVENT["data"]).encode()).decode()}
    assert decode(json.dumps(event).encode(), [], max_bytes=LIMIT).data == EVENT["data"]


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "text/json; charset=utf-8",
        "application/vnd.acme.content_submitted+json",
        "model/gltf+json",
        "application/vnd.a+b+json",
    ],
)
def test_every_kind_of_json_is_taken(kind: str) -> None:
    assert decode(structured(datacontenttype=kind), [], max_bytes=LIMIT).data == EVENT["data"]
    value = json.dumps(EVENT["data"]).encode()
    assert decode(value, [*BINARY, ("content-type", kind.encode())], max_bytes=LIMIT).data == EVENT["data"]


@pytest.mark.parametrize(
    "kind", ["application/jsonl", "application/xml", "json", "application/+json-seq", "a b/json", ""]
)
def test_no_other_kind_is(kind: str) -> None:
    assert refusal(structured(datacontenttype=kind))[0] is Reason.NOT_CLOUDEVENT


def test_data_in_base64_is_as_strict_as_any() -> None:
    event = {key: value for key, value in EVENT.items() if key != "data"}
    event["data_base64"] = b64encode(b'{"a":1,"a":2}').decode()
    assert refusal(json.dumps(event).encode())[0] is Reason.DUPLICATE_KEY


# --- trace context ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [[], BINARY])
def test_the_trace_context_may_stand_in_the_kafka_header(headers: list[tuple[str, bytes]]) -> None:
    value = json.dumps(EVENT["data"]).encode() if headers else structured()
    assert decode(value, [*headers, ("traceparent", TRACE.encode())], max_bytes=LIMIT).traceparent == TRACE


def test_the_events_own_trace_context_wins() -> None:
    headers = [("traceparent", TRACE.replace("4bf9", "0000").encode())]
    assert decode(structured(traceparent=TRACE), headers, max_bytes=LIMIT).traceparent == TRACE


@pytest.mark.parametrize("bad", ["", "00-short", 7, TRACE.upper(), TRACE + "\n"])
def test_a_malformed_trace_context_costs_the_trace_and_not_the_message(bad: object) -> None:
    assert decode(structured(traceparent=bad), [], max_bytes=LIMIT).traceparent is None
    assert decode(structured(), [("traceparent", b"\xff\xff")], max_bytes=LIMIT).traceparent is None


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_a_missing_attribute_is_named(name: str) -> None:
    event = {key: value for key, value in EVENT.items() if key != name}
    assert refusal(json.dumps(event).encode()) == (Reason.NOT_CLOUDEVENT, f"not a CloudEvent: {name} is missing")
    headers = [header for header in BINARY if header[0] != f"ce_{name}"]
    assert refusal(b"{}", headers) == (Reason.NOT_CLOUDEVENT, f"not a CloudEvent: {name} is missing")


@pytest.mark.parametrize("name", ["id", "source", "type", "tenant", "subject", "time"])
@pytest.mark.parametrize(
    ("bad", "fault"), [("", "empty"), (7, "not a string"), (["x"], "not a string"), ("x" * 1025, "longer")]
)
def test_an_attribute_of_the_wrong_kind_is_named(name: str, bad: object, fault: str) -> None:
    reason, message = refusal(structured(**{name: bad}))
    assert reason is Reason.NOT_CLOUDEVENT
    assert message.startswith(f"not a CloudEvent: {name} is {fault}")


def test_an_attribute_may_have_1024_characters() -> None:
    assert decode(structured(id="字" * 1024), [], max_bytes=LIMIT).id == "字" * 1024


@pytest.mark.parametrize("version", ["0.3", "1.0.2", "", 1.0, "1"])
def test_another_version_of_cloudevents_is_refused(version: object) -> None:
    assert refusal(structured(specversion=version)) == (
        Reason.NOT_CLOUDEVENT,
        "not a CloudEvent: specversion is not 1.0",
    )


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        pytest.param(None, [], Reason.NOT_JSON, id="a tombstone"),
        pytest.param(b"", [], Reason.NOT_JSON, id="an empty value"),
        pytest.param(b"hello", [], Reason.NOT_JSON, id="a text"),
        pytest.param(b"[1]", [], Reason.NOT_CLOUDEVENT, id="an array"),
        pytest.param(b"null", [], Reason.NOT_CLOUDEVENT, id="null"),
        pytest.param(b'{"text":"hi"}', [], Reason.NOT_CLOUDEVENT, id="data without an envelope"),
        pytest.param(b"\xff\xfe{\x00}\x00", [], Reason.NOT_UTF8, id="utf-16"),
        pytest.param(structured(data=None), [], Reason.SCHEMA, id="data is null"),
        pytest.param(structured(data="text"), [], Reason.SCHEMA, id="data is a text"),
        pytest.param(None, BINARY, Reason.SCHEMA, id="binary mode without a value"),
        pytest.param(b"[]", BINARY, Reason.SCHEMA, id="binary mode with an array"),
        pytest.param(b"{", BINARY, Reason.NOT_JSON, id="binary mode with a value cut off"),
        pytest.param(b'{"a":1,"a":1}', BINARY, Reason.DUPLICATE_KEY, id="binary mode with a key twice"),
        pytest.param(b"{}", [*BINARY, ("ce_subject", b"\xff")], Reason.NOT_UTF8, id="a header that is not utf-8"),
        pytest.param(b"{}", [*BINARY, ("ce_subject", b"a\0")], Reason.NUL_CHARACTER, id="a header with a NUL"),
        pytest.param(b"{}", [*BINARY, ("ce_id", b"e-2")], Reason.NOT_CLOUDEVENT, id="two ids"),
        pytest.param(b"{}", [("ce_id", None)], Reason.NOT_CLOUDEVENT, id="a header without a value"),
        pytest.param(
            b"{}", [*BINARY, ("content-type", b"text/plain")], Reason.NOT_CLOUDEVENT, id="data that is plain text"
        ),
        pytest.param(structured(datacontenttype="text/xml"), [], Reason.NOT_CLOUDEVENT, id="data that is XML"),
        pytest.param(structured(data_base64="e30="), [], Reason.NOT_CLOUDEVENT, id="data twice"),
        pytest.param(
            b"[]",
            [("content-type", b"application/cloudevents-batch+json")],
            Reason.NOT_CLOUDEVENT,
            id="a batch of events",
        ),
        pytest.param(b"", [("content-type", b"application/cloudevents+avro")], Reason.NOT_CLOUDEVENT, id="avro"),
        pytest.param(structured(time="yesterday"), [], Reason.NOT_CLOUDEVENT, id="a time that is none"),
    ],
)
def test_what_is_no_event_is_refused(value: bytes | None, headers: list[tuple[str, Any]], reason: Reason) -> None:
    assert refusal(value, headers)[0] is reason


def test_a_value_over_the_limit_is_refused_before_it_is_read() -> None:
    assert refusal(b"x" * 101, max_bytes=100) == (Reason.TOO_LARGE, "the value has 101 bytes; the limit is 100")
    assert refusal(b"x" * 100, max_bytes=100)[0] is Reason.NOT_JSON


def test_the_envelope_counts_as_one_level_of_nesting() -> None:
    value = structured(data={"attributes": {"a": {}}})
    assert decode(value, [], max_bytes=LIMIT, max_depth=4).data == {"attributes": {"a": {}}}
    with pytest.raises(PermanentError):
        decode(value, [], max_bytes=LIMIT, max_depth=3)


SECRET = "hunter2"


@pytest.mark.parametrize(
    "value",
    [
        structured(id={SECRET: 1}),
        structured(time=SECRET),
        structured(specversion=SECRET),
        structured(datacontenttype=SECRET),
        structured(data=SECRET),
        structured(data_base64=SECRET),
        structured()[:-2] + b',"hunter2":1,"hunter2":2}}',
        structured()[:-2] + b',"hunter2":"\\ud800hunter2"}}',
        structured()[:-2] + b',"hunter2\\u0000":"hunter2"}}',
        structured()[:-2] + b',"hunter2":hunter2}}',
        structured()[:-2] + b',"hunter2":"\\hunter2"}}',
        structured()[:-2] + b',"hunter2":99999999999999999999}}',
        structured()[:-2] + b',"hunter2":"\xff"}}',
        SECRET.encode(),
    ],
)
def test_a_refusal_never_shows_what_the_sender_wrote(value: bytes) -> None:
    assert SECRET not in refusal(value)[1]


def test_a_refusal_never_shows_a_header() -> None:
    for bad in (b"hunter2\0", b"hunter2\xff"):
        assert SECRET not in refusal(b"{}", [(f"ce_{SECRET}", bad)])[1]
    assert SECRET not in refusal(b"{}", [("ce_hunter2", b"1"), ("ce_hunter2", b"2")])[1]


@given(
    json_texts(),
    st.lists(st.tuples(st.sampled_from(["ce_id", "ce_x", "content-type", "traceparent"]), st.binary(max_size=9))),
)
def test_whatever_arrives_is_an_envelope_or_a_permanent_error(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    try:
        assert isinstance(decode(value, headers, max_bytes=LIMIT), Envelope)
    except PermanentError as error:
        assert error.reason in Reason


# --- the way back -----------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(TEXT, TEXT, TEXT, TEXT, st.none() | TEXT, st.dictionaries(TEXT, TEXT | st.integers(-(2**63), 2**63 - 1)))
def test_what_is_encoded_decodes_to_the_same(
    event_id: str, source: str, event_type: str, tenant: str, subject: str | None, data: dict[str, Any]
) -> None:
    value = encode(
        id=event_id,
        source=source,
        type=event_type,
        tenant=tenant,
        time="2026-11-24T09:00:00Z",
        subject=subject,
        data=json.dumps(data).encode(),
        traceparent=TRACE,
    )
    assert decode(value, [], max_bytes=LIMIT) == Envelope(
        event_id, source, event_type, tenant, data, "2026-11-24T09:00:00Z", subject, TRACE
    )


def test_the_data_is_spliced_in_byte_for_byte() -> None:
    data = b'{"b": 1.50, "a": "\\u00e9"}'
    value = encode(id="1", source="s", type="t", tenant="x", time="2026-11-24T09:00:00Z", subject=None, data=data)
    assert value.endswith(b'"data":' + data + b"}")


def test_reading_a_typical_event_costs_microseconds() -> None:
    value = structured(
        data={"content_id": "c-1", "author_id": "a-1", "text": "x: y " * 60}, tenant="acme", subject="c-1"
    )

    def read() -> None:
        envelope = decode(value, [], max_bytes=LIMIT)
        decision_id(envelope.tenant, envelope.source, envelope.id, "review")
        content_hash(envelope.data)

    cost_us = min(timeit.repeat(read, number=500, repeat=20)) / 500 * 1e6
    assert cost_us < 60  # 9 to 11 µs were measured; the exact path alone would cost 40 on a free machine
