"""`tidegate results` against a real Postgres."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from services.storage import Database, DeadLetter, DeadLetterStore, dead_letter_id
from tests.integration.cli.conftest import Ended
from tests.integration.servers import Deployment
from tests.integration.stored_rows import decision, store_decision

Run = Callable[..., Ended]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def database(deployment: Deployment) -> Iterator[Database]:
    with deployment.database() as opened:
        yield opened


def next_id(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return str(json.loads(process.stdout.readline())["event_id"])


def test_the_table_shows_what_was_decided_and_why(tidegate: Run, database: Database) -> None:
    store_decision(database, "1")
    done = tidegate("results", "review")
    assert (done.code, done.err) == (0, "")
    for part in ("content-1", "flag", "medium", "toxicity 0.90", "[1:4]"):
        assert part in done.out.decode()
    assert b"\x1b" not in done.out


def test_json_is_the_stored_data_one_object_a_line(tidegate: Run, database: Database) -> None:
    at = datetime.now(UTC)
    for number in range(3):
        store_decision(database, str(number), at + timedelta(seconds=number))
    done = tidegate("results", "review", "--json", "--limit", "2")
    expected = [decision(str(number), at + timedelta(seconds=number)) for number in (1, 2)]
    assert [json.loads(text) for text in done.lines] == expected


def test_an_event_is_found_by_its_id(tidegate: Run, database: Database) -> None:
    store_decision(database, "one")
    store_decision(database, "other")
    for options in ((), ("--source", "test"), ("--follow",)):
        done = tidegate("results", "review", "--json", "--event-id", "one", *options)
        assert [json.loads(text)["event_id"] for text in done.lines] == ["one"]
        assert done.code == 0
    assert tidegate("results", "review", "--event-id", "one", "--source", "elsewhere").code == 1


def test_an_event_of_any_configured_tenant_is_found(tidegate: Run, database: Database) -> None:
    store_decision(database, "one", tenant="acme")
    wanted = ("results", "review", "--json", "--event-id", "one", "--source", "test")
    done = tidegate(*wanted, TIDEGATE_TENANTS="default,acme")
    assert [json.loads(text)["event_id"] for text in done.lines] == ["one"]


def test_an_event_without_a_result_is_exit_code_1(tidegate: Run) -> None:
    done = tidegate("results", "review", "--event-id", "nobody")
    assert (done.code, done.out) == (1, b"")
    assert done.err == "event 'nobody' has no result yet; --follow waits for it\n"


def test_an_event_that_was_dead_lettered_says_so(tidegate: Run, database: Database) -> None:
    now = datetime.now(UTC)
    identifier = dead_letter_id("t", 0, 0, b"x")
    DeadLetterStore(database).add(
        [DeadLetter(identifier, "review", "t", 0, 0, now, None, b"x", (), "schema", "d", "e-9", "dispatcher", "1", now)]
    )
    for options in ((), ("--follow",)):
        done = tidegate("results", "review", "--event-id", "e-9", *options)
        assert done.code == 1
        assert done.err == f"event 'e-9' was dead-lettered (schema): see `tidegate dlq show {identifier}`\n"


def test_only_a_tenants_results_are_shown(tidegate: Run, database: Database) -> None:
    store_decision(database, "mine", tenant="acme")
    store_decision(database, "theirs")
    done = tidegate("results", "review", "--json", "--tenant", "acme")
    assert [json.loads(text)["event_id"] for text in done.lines] == ["mine"]


def test_following_shows_each_new_row_once_and_ends_with_ctrl_c(started: Start, database: Database) -> None:
    now = datetime.now(UTC)
    store_decision(database, "old", now)
    process = started("results", "review", "--follow", "--json", "--limit", "1")
    assert next_id(process) == "old"
    store_decision(database, "new", now + timedelta(seconds=2))
    assert next_id(process) == "new"
    store_decision(database, "late", now - timedelta(seconds=5))
    assert next_id(process) == "late"
    store_decision(database, "last", now + timedelta(seconds=3))
    assert next_id(process) == "last"
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read() == b""
    assert process.stderr.read() == b""
    assert process.wait() == 130


def test_following_one_event_waits_for_its_result(started: Start, database: Database) -> None:
    process = started("results", "review", "--follow", "--json", "--event-id", "e-1")
    store_decision(database, "other")
    store_decision(database, "e-1")
    assert next_id(process) == "e-1"
    assert process.wait() == 0


def test_no_results_yet_is_no_error(tidegate: Run) -> None:
    done = tidegate("results", "toy")
    assert (done.code, done.out) == (0, b"")
    assert done.err == "No results yet. Publish something: tidegate publish toy.requested FILE\n"


def test_an_unknown_capability_lists_the_known_ones(tidegate: Run) -> None:
    assert tidegate("results", "revue").err == "there is no capability 'revue'; known: review, toy\n"


def test_postgres_that_does_not_answer_is_one_sentence_without_its_password(tidegate: Run) -> None:
    done = tidegate("results", "review", TIDEGATE_POSTGRES_DSN="postgresql://me:hunter2@127.0.0.1:1/x")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("Postgres: ")
    assert "hunter2" not in done.err
