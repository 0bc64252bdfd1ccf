"""Migrations on a real Postgres: each file once, in order, whoever else runs them at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from services.errors import ConfigurationError, TransientError
from services.storage import Database, migrate
from tests.integration.servers import Deployment, Servers


@pytest.fixture
def deployment(servers: Servers) -> Deployment:
    """Of its own: these tests make tables."""
    return servers.deploy()


@pytest.fixture
def dsn(deployment: Deployment) -> str:
    return deployment.settings.postgres_dsn.get_secret_value()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE thing ADD COLUMN more text;")
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE thing (id integer); INSERT INTO thing VALUES (1);")
    return tmp_path


def things(deployment: Deployment) -> int:
    with deployment.database() as database:
        return _count(database)


def _count(database: Database) -> int:
    with database.cursor("test") as cursor:
        cursor.execute("SELECT count(*) FROM thing")
        (count,) = cursor.fetchone() or (-1,)
        return int(count)


def test_each_file_runs_once_and_in_order(deployment: Deployment, dsn: str, folder: Path) -> None:
    assert migrate(dsn, {"x": folder}) == ["x/0001_first.sql", "x/0002_second.sql"]
    assert migrate(dsn, {"x": folder}) == []
    (folder / "0003_third.sql").write_text("INSERT INTO thing VALUES (2);")
    assert migrate(dsn, {"x": folder}) == ["x/0003_third.sql"]
    assert things(deployment) == 2


def test_many_processes_at_once_run_each_file_once(deployment: Deployment, dsn: str, folder: Path) -> None:
    ran: list[str] = []
    threads = [threading.Thread(target=lambda: ran.extend(migrate(dsn, {"x": folder}))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == ["x/0001_first.sql", "x/0002_second.sql"]
    assert things(deployment) == 1


def test_the_same_file_name_in_two_components_is_two_files(dsn: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0001_first.sql").write_text(f"CREATE TABLE {name}_thing (id integer)")
    assert migrate(dsn, {"a": tmp_path / "a", "b": tmp_path / "b"}) == ["a/0001_first.sql", "b/0001_first.sql"]


def test_a_file_that_changed_after_it_ran_is_an_error(dsn: str, folder: Path) -> None:
    migrate(dsn, {"x": folder})
    (folder / "0001_first.sql").write_text("-- something else")
    with pytest.raises(ConfigurationError, match=r"x/0001_first\.sql has changed since it ran; add a new file"):
        migrate(dsn, {"x": folder})


def test_a_file_that_fails_leaves_nothing_and_runs_again_when_it_is_mended(
    deployment: Deployment, dsn: str, folder: Path
) -> None:
    (folder / "0003_bad.sql").write_text("INSERT INTO thing VALUES (2); SELECT nonsense;")
    with pytest.raises(ConfigurationError, match="a migration failed"):
        migrate(dsn, {"x": folder})
    assert things(deployment) == 1
    (folder / "0003_bad.sql").write_text("INSERT INTO thing VALUES (2);")
    assert migrate(dsn, {"x": folder}) == ["x/0003_bad.sql"]
    assert things(deployment) == 2


def test_a_file_with_another_kind_of_name_is_an_error(dsn: str, folder: Path) -> None:
    (folder / "fix.sql").write_text("SELECT 1")
    with pytest.raises(ConfigurationError, match=r"fix\.sql of x is not named"):
        migrate(dsn, {"x": folder})


def test_without_a_server_it_is_transient(folder: Path) -> None:
    with pytest.raises(TransientError):
        migrate("postgresql://postgres@127.0.0.1:1/x", {"x": folder})
