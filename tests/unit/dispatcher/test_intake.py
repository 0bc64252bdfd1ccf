"""From record to item or refusal: nothing that a sender can write raises, and no refusal shows what was written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.dispatcher.intake import read_record
from consumers.dispatcher.items import Item, Refusal
from services.errors import DeadLetterReason
from services.messaging.compressed_batches import _TOKEN, UNREADABLE_HEADER
from services.settings import Settings
from tests.toy.capability import TOY
from tests.unit.dispatcher.made import MadeRecord, made_ledger

SETTINGS = Settings(tenants=frozenset({"default", "acme"}), max_message_bytes=2000)


def event(**changes: Any) -> bytes:
    whole = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "forum",
        "type": "tidegate.toy.requested.v1",
        "data": {"toy_id": "t-1", "text": "SECRET"},
        **changes,
    }
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def read(value: bytes | None, headers: list[tuple[str, bytes]] | None = None) -> Item | Refusal:
    return read_record(MadeRecord(3, value=value, headers=headers or []), TOY, made_ledger(), SETTINGS)


def test_a_good_record_becomes_an_item_with_its_address() -> None:
    item = read(event(tenant="acme"))
    assert isinstance(item, Item)
    assert (item.tenant, item.event_id, item.output_key) == ("acme", "e-1", "t-1")
    assert item.data == {"toy_id": "t-1", "text": "SECRET"}
    assert item.size_bytes == len(event(tenant="acme"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, DeadLetterReason.NOT_JSON),
        (b"", DeadLetterReason.NOT_JSON),
        (b"SECRET", DeadLetterReason.NOT_JSON),
        (b"\xff\xfe", DeadLetterReason.NOT_UTF8),
        (b"[]", DeadLetterReason.NOT_CLOUDEVENT),
        (event(specversion=None), DeadLetterReason.NOT_CLOUDEVENT),
        (event(id=None), DeadLetterReason.NOT_CLOUDEVENT),
        (event(type="tidegate.toy.requested.v2"), DeadLetterReason.UNKNOWN_TYPE),
        (event(type="SECRET"), DeadLetterReason.UNKNOWN_TYPE),
        (event(tenant="SECRET"), DeadLetterReason.UNKNOWN_TENANT),
        (event(data=[]), DeadLetterReason.SCHEMA),
        (event(data={"text": "x" * 2000}), DeadLetterReason.TOO_LARGE),
        (b'{"a": 1, "a": 2}', DeadLetterReason.DUPLICATE_KEY),
        (b'{"a": "\\u0000"}', DeadLetterReason.NUL_CHARACTER),
        (b'{"a": "\\ud800"}', DeadLetterReason.LONE_SURROGATE),
        (b"[" * 900 + b"]" * 900, DeadLetterReason.TOO_DEEP),
    ],
)
def test_a_bad_record_becomes_a_refusal_with_a_precise_reason(value: bytes | None, reason: DeadLetterReason) -> None:
    refusal = read(value)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert "SECRET" not in refusal.detail
    assert refusal.record.value == value


def test_a_refusal_of_a_readable_event_names_the_event() -> None:
    refusal = read(event(tenant="nobody"))
    assert isinstance(refusal, Refusal)
    assert refusal.event_id == "e-1"


def test_the_same_content_has_the_same_hash_whatever_its_spelling() -> None:
    one = read(event())
    other = read(event().replace(b'"text": "SECRET"', b'"text":"\\u0053ECRET"'))
    assert isinstance(one, Item)
    assert isinstance(other, Item)
    assert one.content_hash == other.content_hash
    assert one.decision_id == other.decision_id


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce_id", "ce_specversion", "content-type", "CE_TYPE", "x"]) | st.text(max_size=8),
        st.sampled_from([b"1.0", b"application/json", b"application/cloudevents+json"]) | st.binary(max_size=20),
    ),
    max_size=5,
)


@given(st.none() | st.binary(max_size=200) | st.builds(event), HEADERS)
def test_nothing_that_a_sender_can_write_raises(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    assert isinstance(read(value, headers), Item | Refusal)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_read_or_refused(document: Any) -> None:
    assert isinstance(read(json.dumps(document).encode("utf-8", "surrogatepass")), Item | Refusal)


def test_a_record_that_stands_for_an_unreadable_batch_is_refused_for_the_batchs_reason() -> None:
    said = "too_large: the batch (gzip, 9 bytes) unpacks to more than 5 bytes"
    refusal = read(event(), [(UNREADABLE_HEADER, f"{_TOKEN} {said}".encode())])
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DeadLetterReason.TOO_LARGE
    assert refusal.detail == "the batch (gzip, 9 bytes) unpacks to more than 5 bytes"
    assert isinstance(read(event(), [(UNREADABLE_HEADER, said.encode())]), Item)  # a sender may write what it likes
