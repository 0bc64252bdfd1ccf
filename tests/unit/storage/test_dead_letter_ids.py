"""Ids and texts of dead letters, before Postgres sees them."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.storage import dead_letter_id, utc_from_ms
from services.storage.dead_letters import _printable

VALUES = st.none() | st.binary(max_size=20)


def test_the_id_of_a_dead_letter_never_changes() -> None:
    assert dead_letter_id("content.submitted", 3, 41, b"not json") == "9e9f65ae-17ef-524c-8e6c-084077676cf0"


@given(st.text(max_size=5), st.integers(0, 9), st.integers(0, 9), VALUES)
def test_the_same_record_gives_the_same_id(topic: str, partition: int, offset: int, value: bytes | None) -> None:
    one = dead_letter_id(topic, partition, offset, value)
    assert one == dead_letter_id(topic, partition, offset, value)
    assert one != dead_letter_id(topic, partition, offset + 1, value)
    assert one != dead_letter_id(topic, partition, offset, (value or b"") + b"x")


@given(st.text())
def test_what_is_stored_as_text_holds_nothing_that_postgres_refuses(text: str) -> None:
    shown = _printable(text)
    assert shown is not None
    assert "\x00" not in shown
    assert shown.encode().decode() == shown  # no half of a surrogate pair


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_ordinary_text_is_stored_as_it_is(text: str) -> None:
    assert _printable(text) == text


def test_nothing_stays_nothing() -> None:
    assert _printable(None) is None


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_kafka_timestamp_is_a_time(timestamp_ms: int) -> None:
    moment = utc_from_ms(timestamp_ms)
    assert moment.tzinfo is UTC
    assert 1970 <= moment.year <= 9999


def test_an_ordinary_timestamp_is_its_time() -> None:
    assert utc_from_ms(1_764_000_000_123) == datetime.fromtimestamp(1_764_000_000.123, UTC)
