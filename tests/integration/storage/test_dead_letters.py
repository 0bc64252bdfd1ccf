"""The table of dead letters on a real Postgres: any bytes, byte for byte, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.storage import Database, DeadLetter, DeadLetterStore, dead_letter_id, utc_from_ms
from tests.integration.servers import Deployment

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def store(deployment: Deployment) -> Iterator[DeadLetterStore]:
    with deployment.database() as database:
        _empty(database)
        yield DeadLetterStore(database)


def _empty(database: Database) -> None:
    with database.cursor("test") as cursor:
        cursor.execute("TRUNCATE dead_letter")


def letter(offset: int = 0, **changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "id": dead_letter_id("content.submitted", 0, offset, b"v"),
        "capability": "review",
        "topic": "content.submitted",
        "partition": 0,
        "offset": offset,
        "record_timestamp": NOW,
        "key": b"k",
        "value": b"v",
        "headers": (("trace", b"1"),),
        "reason": "not_json",
        "detail": "not JSON at byte 0",
        "event_id": None,
        "component": "dispatcher",
        "version": "1",
        "failed_at": NOW,
        **changes,
    }
    return DeadLetter(**fields)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.none() | st.binary(max_size=50),
    key=st.none() | st.binary(max_size=10),
    headers=st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
            st.binary(max_size=9),
        ),
        max_size=3,
    ),
    event_id=st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
)
def test_any_record_comes_back_byte_for_byte(
    store: DeadLetterStore,
    value: bytes | None,
    key: bytes | None,
    headers: list[tuple[str, bytes]],
    event_id: str | None,
    offset: int,
    timestamp_ms: int,
) -> None:
    one = letter(
        offset,
        id=str(uuid4()),  # each example is a record of its own
        value=value,
        key=key,
        headers=tuple(headers),
        event_id=event_id,
        record_timestamp=utc_from_ms(timestamp_ms),
    )
    store.add([one])
    assert one in store.find(ids=[one.id])


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\udfff\0"])
def test_texts_that_postgres_refuses_are_shown_escaped(store: DeadLetterStore, text: str) -> None:
    store.add([letter(event_id=text, detail=text, headers=((text, b"\0"),))])
    (found,) = store.find()
    assert found.event_id is not None
    assert "\\" in found.event_id
    assert found.headers[0][1] == b"\0"


def test_the_same_record_is_stored_once_and_keeps_its_first_reason(store: DeadLetterStore) -> None:
    store.add([letter(), letter(reason="schema")])
    store.add([letter(reason="internal")])
    assert [found.reason for found in store.find()] == ["not_json"]


def test_letters_are_found_newest_first_by_what_a_person_asks(store: DeadLetterStore) -> None:
    store.add([letter(n, failed_at=NOW + timedelta(minutes=n), reason="schema" if n else "not_json") for n in range(4)])
    assert [found.offset for found in store.find()] == [3, 2, 1, 0]
    assert [found.offset for found in store.find(limit=2)] == [3, 2]
    assert [found.offset for found in store.find(reason="not_json")] == [0]
    assert [found.offset for found in store.find(since=NOW + timedelta(minutes=2))] == [3, 2]
    assert [found.offset for found in store.find(ids=[letter(2).id[:8]])] == [2]
    assert store.find(ids=["%"]) == store.find(ids=[""])  # not a pattern that a person meant
    assert store.count_by_reason() == [("schema", 3, 3), ("not_json", 1, 1)]


def test_a_replayed_letter_is_marked_and_stays(store: DeadLetterStore) -> None:
    store.add([letter(0), letter(1)])
    store.mark_replayed(letter(0).id)
    store.mark_replayed(letter(0).id)
    assert [found.offset for found in store.find(pending_only=True)] == [1]
    (found,) = store.find(ids=[letter(0).id])
    assert found.replay_count == 2
    assert found.replayed_at is not None
    assert store.count_by_reason() == [("not_json", 2, 1)]
