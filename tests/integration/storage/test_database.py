"""Every failure of a real Postgres, as one of Tidegate's kinds; and no statement waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from services.errors import ConfigurationError, PermanentError, TransientError
from services.settings import Settings
from services.storage import Database
from services.storage import database as module
from tests.integration.servers import Deployment


@pytest.fixture
def database(deployment: Deployment) -> Iterator[Database]:
    settings = deployment.settings.model_copy(update={"statement_timeout_s": 1.0})
    made = Database(settings, size=2, acquire_timeout_s=20)
    yield made
    made.close()


def run(database: Database, statement: str) -> object:
    with database.cursor("test") as cursor:
        cursor.execute(statement.encode())
        return cursor.fetchone() if cursor.description else None


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT * FROM no_such_table", ConfigurationError),
        ("SELECT no_such_column FROM batch_done", ConfigurationError),
        ("SELEKT 1", ConfigurationError),
        ("SELECT no_such_function()", ConfigurationError),
        ("INSERT INTO batch_done (batch_id, outcome) VALUES (gen_random_uuid(), 'nonsense')", PermanentError),
        ("INSERT INTO batch_done (batch_id) VALUES (NULL)", PermanentError),
        ("SELECT 1 / 0", PermanentError),
        ("SELECT 'x'::uuid", PermanentError),
        ("SELECT to_timestamp(1e300)", PermanentError),
        ("SELECT pg_sleep(30)", TransientError),  # the server's own timeout
        ("DO $$ BEGIN RAISE serialization_failure; END $$", TransientError),
        ("DO $$ BEGIN RAISE deadlock_detected; END $$", TransientError),
        ("DO $$ BEGIN RAISE disk_full; END $$", TransientError),
        ("DO $$ BEGIN RAISE read_only_sql_transaction; END $$", TransientError),
        ("DO $$ BEGIN RAISE cannot_connect_now; END $$", TransientError),
        ("DO $$ BEGIN RAISE internal_error; END $$", TransientError),
        ("DO $$ BEGIN RAISE insufficient_privilege; END $$", ConfigurationError),
        ("DO $$ BEGIN RAISE program_limit_exceeded; END $$", PermanentError),
        ("SELECT pg_terminate_backend(pg_backend_pid())", TransientError),
    ],
)
def test_each_failure_is_of_one_kind_and_the_next_statement_works(
    database: Database, statement: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        run(database, statement)
    assert type(caught.value) is kind
    assert str(caught.value).startswith("Postgres")
    assert run(database, "SELECT 1") == (1,)


def test_a_server_that_is_away_is_transient() -> None:
    database = Database(Settings(postgres_dsn="postgresql://postgres@127.0.0.1:1/x"), size=1, acquire_timeout_s=0.5)
    try:
        with pytest.raises(TransientError):
            run(database, "SELECT 1")
    finally:
        database.close()


def test_a_frozen_server_does_not_hold_a_statement_for_ever(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WATCHDOG_MARGIN_S", 0.5)
    settings = deployment.settings.model_copy(update={"statement_timeout_s": 0.5})
    database = Database(settings, size=1, acquire_timeout_s=20)
    backend: list[psutil.Process] = []
    try:
        row = run(database, "SELECT pg_backend_pid()")
        assert isinstance(row, tuple)
        backend.append(psutil.Process(row[0]))
        backend[0].suspend()
        with pytest.raises(TransientError):
            run(database, "SELECT 1")
        assert run(database, "SELECT 1") == (1,)  # on a new connection
    finally:
        for process in backend:
            process.resume()
        database.close()


def test_a_slow_statement_within_its_limit_is_left_alone(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.storage.watchdog._TICK_S", 0.01)
    with deployment.database() as database:
        assert run(database, "SELECT 7 FROM pg_sleep(0.3)") == (7,)


def test_many_threads_share_the_pool(database: Database) -> None:
    found: list[object] = []

    def work() -> None:
        found.extend(run(database, "SELECT 1") for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(1,)] * 160


def test_the_password_is_in_no_message(deployment: Deployment) -> None:
    parts = urlsplit(deployment.settings.postgres_dsn.get_secret_value())
    wrong = f"postgresql://postgres:hunter2@{parts.hostname}:{parts.port}/no_such_database"
    database = Database(Settings(postgres_dsn=wrong), size=1, acquire_timeout_s=1)
    try:
        with pytest.raises(TransientError) as caught:
            run(database, "SELECT 1")
    finally:
        database.close()
    assert "hunter2" not in str(caught.value)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(wrong, connect_timeout=10)
