"""Bad input never stops the flow: it becomes a dead letter with its original bytes and a precise reason, and is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import KafkaProducer

from tests.integration.spine.app import App, Sent
from tests.integration.spine.topics import review_event

TOO_LONG = "x" * 100_001
DEEP = b'{"a":' * 40 + b"1" + b"}" * 40


def event(**changes: Any) -> bytes:
    """A good event with some attributes changed, or left out by None."""
    whole = {**json.loads(review_event("fine")), **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def with_data(**changes: Any) -> bytes:
    data = {"content_id": "c-1", "author_id": "a-1", "text": "fine", **changes}
    return event(data={name: value for name, value in data.items() if value is not None})


BAD: dict[str, tuple[bytes | None, str, str]] = {
    "not JSON": (b"buy now!!!", "not_json", "not JSON at byte 0"),
    "half of a JSON document": (review_event("fine")[:-5], "not_json", "not JSON"),
    "nothing": (b"", "not_json", "no value"),
    "a tombstone": (None, "not_json", "no value"),
    "not UTF-8": (b'{"id": "\xff"}', "not_utf8", "not UTF-8 at byte 8"),
    "JSON, and no object": (b"[1, 2]", "not_cloudevent", "not an object"),
    "no CloudEvent": (b'{"content_id": "1"}', "not_cloudevent", "specversion is missing"),
    "another version of CloudEvents": (event(specversion="0.3"), "not_cloudevent", "specversion is not 1.0"),
    "no id": (event(id=None), "not_cloudevent", "id is missing"),
    "an id that is a number": (event(id=7), "not_cloudevent", "id is not a string"),
    "no source": (event(source=None), "not_cloudevent", "source is missing"),
    "an unknown type": (event(type="com.example.thing"), "unknown_type", "type is not tidegate.content.submitted.v1"),
    "another version": (event(type="tidegate.content.submitted.v2"), "unknown_type", "type is not"),
    "another capability's type": (event(type="tidegate.toy.requested.v1"), "unknown_type", "type is not"),
    "an unknown tenant": (event(tenant="nobody"), "unknown_tenant", "no such tenant"),
    "no data": (event(data=None), "schema", "data is not an object"),
    "no text": (with_data(text=None), "schema", "data.text: Field required"),
    "a text that is a number": (with_data(text=7), "schema", "data.text: Input should be a valid string"),
    "a text that is null": (event(data={"content_id": "c", "author_id": "a", "text": None}), "schema", "data.text"),
    "no author": (with_data(author_id=None), "schema", "data.author_id"),
    "an empty id of the content": (with_data(content_id=""), "schema", "data.content_id"),
    "a language that does not exist": (with_data(language="xx"), "schema", "data.language"),
    "an integer beyond 64 bits": (with_data(attributes={"n": 2**64}), "schema", "integer outside"),
    "a text over the limit": (with_data(text=TOO_LONG), "text_too_long", "100001 code points; the limit is 100000"),
    "900 kB": (with_data(text="y" * 900_000), "too_large", "the limit is 850000"),
    "a NUL in the text": (with_data(text="a\0b"), "nul_character", "a NUL character in the string at byte"),
    "a NUL in an id": (event(id="a\0b"), "nul_character", "a NUL character"),
    "half a surrogate pair": (with_data(text="\ud800"), "lone_surrogate", "half of a surrogate pair"),
    "a key twice": (b'{"id": "1", "id": "2"}', "duplicate_key", "second time in one object at byte 12"),
    "deep nesting": (DEEP, "too_deep", "deeper than 32 levels"),
    "absurdly deep nesting": (b"[" * 100_000, "too_deep", "deeper than 32 levels"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_dead_lettered_with_its_bytes_and_the_next_one_is_decided(app: App, name: str) -> None:
    value, reason, words = BAD[name]
    counted = app.dispatcher.metric("tidegate_dead_lettered_total", capability="review", reason=reason)
    bad, good = app.send("content.submitted", value, review_event("fine"), headers=[("trace", b"\x00\xff")])

    letter = app.dead_letter(bad)
    assert letter.value == value
    assert letter.key == b"author-1"
    assert letter.headers[0] == ("trace", b"\x00\xff")
    assert letter.header("dlq-reason") == reason
    assert words in letter.header("dlq-error")
    assert letter.header("dlq-topic").endswith("content.submitted")

    (row,) = app.rows_of_dead_letters(bad)
    assert (row.value, row.key, row.headers) == (value, b"author-1", (("trace", b"\x00\xff"),))
    assert (row.reason, row.detail, row.id) == (reason, letter.header("dlq-error"), letter.header("dlq-id"))

    assert app.result(good).data["action"] in {"allow", "flag", "review", "block"}
    app.wait_settled(bad, good)
    assert app.dispatcher.metric("tidegate_dead_lettered_total", capability="review", reason=reason) == counted + 1
    assert len(app.dead_letters(bad)) == 1
    assert app.results(bad) == []


BINARY = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"b-1"),
    ("ce_source", b"s"),
    ("ce_type", b"tidegate.content.submitted.v1"),
]
DATA = json.dumps({"content_id": "c", "author_id": "a", "text": "x"}).encode()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([*BINARY, ("ce_id", b"again")], "not_cloudevent"),
        ([*BINARY[1:]], "not_cloudevent"),
        ([*BINARY[:1], ("ce_id", b"\xff"), *BINARY[2:]], "not_utf8"),
        ([*BINARY, ("ce_tenant", b"a\0b")], "nul_character"),
        ([*BINARY, ("content-type", b"text/plain")], "not_cloudevent"),
        ([*BINARY[:3], ("ce_type", b"other")], "unknown_type"),
    ],
)
def test_bad_headers_of_binary_mode_are_dead_lettered(
    app: App, headers: Sequence[tuple[str, bytes]], reason: str
) -> None:
    (bad,) = app.send("content.submitted", DATA, headers=headers)
    letter = app.dead_letter(bad)
    assert letter.header("dlq-reason") == reason
    assert letter.headers[: len(headers)] == tuple(headers)


def test_binary_mode_is_accepted_as_structured_mode_is(app: App) -> None:
    (good,) = app.send("content.submitted", DATA, headers=[*BINARY, ("content-type", b"application/json")])
    assert app.result(good).data["event_id"] == "b-1"


class NotUtf8(str):
    """The name of a header that a client in another language may write: the broker does not look at it."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


def test_a_header_name_that_is_not_utf8_does_not_stop_the_flow(app: App) -> None:
    strange, good = app.send(
        "content.submitted", review_event("fine"), review_event("fine"), headers=[(NotUtf8("??"), b"1")]
    )
    assert app.result(strange).data["action"]
    assert app.result(good).data["action"]
    app.wait_settled(strange, good)


@pytest.mark.parametrize("timestamp_ms", [0, 1, -1])
def test_any_timestamp_of_a_record_is_taken(app: App, timestamp_ms: int) -> None:
    (good,) = app.send("content.submitted", review_event("fine"), timestamp_ms=timestamp_ms)
    assert app.result(good).data["action"]


def test_ids_of_the_greatest_length_can_be_stored(app: App) -> None:
    content = "".join(chr(0x1F300 + (n * 7919) % 700) for n in range(1024))  # four bytes each, and hard to compress
    event_id = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(1024))
    value = review_event("fine", event_id, data={"content_id": content, "author_id": content})
    (good,) = app.send("content.submitted", value, key=content.encode())
    assert app.result(good).data["content_id"] == content


@contextmanager
def compressing(app: App, codec: str) -> Iterator[KafkaProducer]:
    """A client of somebody else's."""
    servers = app.deployment.settings.kafka_bootstrap
    sender = KafkaProducer(bootstrap_servers=servers, compression_type=codec, max_request_size=200_000_000)
    try:
        yield sender
    finally:
        sender.close(timeout=10)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_may_be_compressed_as_any_client_does_it(app: App, codec: str) -> None:
    topic = app.deployment.settings.topic_prefix + "content.submitted"
    ends = app.topics.ends("content.decided")
    with compressing(app, codec) as sender:
        sent = [sender.send(topic, review_event("fine " * 200), b"author-1") for _ in range(3)]
        places = [future.get(timeout=60) for future in sent]
    for place in places:
        assert app.result(Sent("content.submitted", place.partition, place.offset, ends, {})).data["action"]


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_batch_that_would_fill_the_memory_is_one_dead_letter_with_the_bytes_that_came(app: App, codec: str) -> None:
    ends = app.topics.ends("content.submitted.dlq")
    topic = app.deployment.settings.topic_prefix + "content.submitted"
    with compressing(app, codec) as sender:
        place = sender.send(topic, b" " * 100_000_000, b"author-1").get(timeout=60)
    bad = Sent("content.submitted", place.partition, place.offset, {}, ends)
    letter = app.dead_letter(bad)
    assert letter.header("dlq-reason") == "too_large"
    assert "unpacks to more than" in (letter.header("dlq-error") or "")
    (row,) = app.rows_of_dead_letters(bad)
    assert row.value is not None
    assert 0 < len(row.value) < 1_000_000
    (good,) = app.send("content.submitted", review_event("fine"))
    assert app.result(good).data["action"]
    app.wait_settled(bad, good)


def test_a_record_that_no_dead_letter_topic_takes_is_kept_whole_in_its_row(app: App) -> None:
    bomb = b" " * 5_000_000  # 5 kB on the wire
    sender = KafkaProducer(
        bootstrap_servers=app.deployment.settings.kafka_bootstrap, compression_type="gzip", max_request_size=10_000_000
    )
    ends = app.topics.ends("content.submitted.dlq")
    try:
        topic = app.deployment.settings.topic_prefix + "content.submitted"
        metadata = sender.send(topic, bomb, b"author-1").get(timeout=60)
    finally:
        sender.close(timeout=10)
    (good,) = app.send("content.submitted", review_event("fine"))
    bad = Sent("content.submitted", metadata.partition, metadata.offset, {}, ends)
    letter = app.dead_letter(bad)
    assert letter.value is None
    assert letter.header("dlq-reason") == "too_large"
    assert letter.header("dlq-value-omitted") == "5000000"
    (row,) = app.rows_of_dead_letters(bad)
    assert row.value == bomb
    assert app.result(good).data["action"]
    app.wait_settled(bad, good)


@settings(max_examples=40)
@given(
    st.lists(
        st.binary(max_size=60) | st.just(b"{}") | st.builds(review_event, st.text(max_size=20)), min_size=1, max_size=8
    )
)
def test_nothing_that_anyone_can_write_stops_the_flow(app: App, values: list[bytes]) -> None:
    *_, good = app.send("content.submitted", *values, review_event("fine"))
    assert app.result(good).data["action"]
