"""Reading results for people, from a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from services.storage import Database, ResultReader, ResultTail
from tests.integration.servers import Deployment
from tests.integration.stored_rows import store_decision

NOW = datetime.now(UTC)


@pytest.fixture
def database(deployment: Deployment) -> Iterator[Database]:
    with deployment.database() as opened:
        yield opened


@pytest.fixture
def reader(database: Database) -> ResultReader:
    return ResultReader(database, "review_decision")


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def polled(tail: ResultTail) -> list[str]:
    return [row.event_id for page in tail.poll() for row in page]


def test_the_newest_come_last(database: Database, reader: ResultReader) -> None:
    for number in (3, 1, 2):
        store_decision(database, f"e{number}", ago(10 - number))
    assert [row.event_id for row in reader.latest(2)] == ["e2", "e3"]


def test_a_tenant_sees_its_own_rows_only(database: Database, reader: ResultReader) -> None:
    store_decision(database, "mine", tenant="acme")
    identifier = store_decision(database, "theirs")
    assert [row.event_id for row in reader.latest(9, tenant="acme")] == ["mine"]
    assert reader.of_event("theirs", tenant="acme") == []
    assert reader.of_decisions([identifier], tenant="acme") == []


def test_a_row_is_found_by_its_event_and_by_its_own_id(database: Database, reader: ResultReader) -> None:
    identifier = store_decision(database, "e1")
    store_decision(database, "e2")
    assert [row.decision_id for row in reader.of_event("e1")] == [identifier]
    assert [row.event_id for row in reader.of_decisions([identifier])] == ["e1"]


def test_a_tail_of_an_empty_table_sees_everything_that_comes(database: Database, reader: ResultReader) -> None:
    tail = ResultTail(reader)
    assert tail.start(10) == []
    store_decision(database, "e1", ago(9999))
    assert polled(tail) == ["e1"]
    assert polled(tail) == []


def test_a_tail_begins_after_what_was_there(database: Database, reader: ResultReader) -> None:
    for number in range(5):
        store_decision(database, f"old{number}", ago(5 - number))
    tail = ResultTail(reader)
    assert [row.event_id for row in tail.start(2)] == ["old3", "old4"]
    store_decision(database, "new")
    assert polled(tail) == ["new"]


def test_a_row_that_commits_late_is_seen_once(database: Database, reader: ResultReader) -> None:
    tail = ResultTail(reader)
    store_decision(database, "first", ago(1))
    assert polled(tail) == ["first"]
    store_decision(database, "late", ago(15))
    store_decision(database, "next", ago(0))
    assert polled(tail) == ["late", "next"]
    assert polled(tail) == []


def test_a_worker_whose_clock_is_ahead_does_not_hide_the_others(database: Database, reader: ResultReader) -> None:
    tail = ResultTail(reader)
    store_decision(database, "from the future", NOW + timedelta(hours=1))
    assert polled(tail) == ["from the future"]
    store_decision(database, "from now", datetime.now(UTC))
    assert polled(tail) == ["from now"]
    assert polled(tail) == []


def test_more_rows_than_a_page_come_once_each_and_in_order(
    database: Database, reader: ResultReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.storage.browse._PAGE", 3)
    tail = ResultTail(reader)
    for number in range(8):
        store_decision(database, f"e{number}", ago(8 - number // 4))  # stamps repeat
    seen = polled(tail)
    assert sorted(seen) == [f"e{number}" for number in range(8)]
    assert set(seen[:4]) == {"e0", "e1", "e2", "e3"}
    assert polled(tail) == []
