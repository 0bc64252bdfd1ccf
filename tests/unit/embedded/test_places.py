"""What `up` refuses before it makes anything: each refusal is one sentence that says what to do."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from deploy.embedded import DataFolder, Stack
from deploy.embedded.parts import Postgres
from deploy.embedded.parts.postgres import unprivileged_user
from deploy.embedded.preflight import blocking_folder, check_disk, debian_package
from deploy.embedded.processes import RunAs
from services.errors import ConfigurationError

_NOBODY = RunAs("nobody", 65534, 65534)


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may write anywhere; whoever is not root stays who it is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY.uid)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_disk_that_is_nearly_full_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100 * 2**20))
    with pytest.raises(ConfigurationError) as caught:
        check_disk(tmp_path)
    assert str(caught.value) == (
        f"the disk of {tmp_path} has 100 MB free and the stack needs 400 MB to start: "
        "free some space, or choose a folder on another disk with --data DIR"
    )


def test_up_on_a_full_disk_refuses_before_anything_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(ConfigurationError, match="0 MB free"):
        Stack(tmp_path / "data", parts={"valkey"}, app=False).up()
    assert not (tmp_path / "data" / "ports.json").exists()


def test_a_disk_that_cannot_even_hold_the_lock_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(ConfigurationError, match=r"No space left on device .*run/lock\): the disk is full: free some"):
        Stack(tmp_path / "data", parts={"valkey"}, app=False).up()


def test_a_folder_that_may_not_be_made_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with _as_nobody(), pytest.raises(ConfigurationError) as caught:
        DataFolder.at(tmp_path / "data").create()
    assert str(caught.value) == (
        f"the data folder {tmp_path / 'data'} cannot be used (Permission denied): "
        "choose another one with --data DIR, or make it writable for this user"
    )


def test_a_folder_of_another_user_is_refused(open_folder: Path) -> None:
    folder = DataFolder.at(open_folder)
    folder.create()
    folder.run.chmod(0o555)
    with _as_nobody(), pytest.raises(ConfigurationError, match="may not be written"):
        folder.create()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigurationError, match="there is a file of that name, choose another one with --data DIR"):
        DataFolder.at(tmp_path / "data").create()
    with pytest.raises(ConfigurationError, match="a part of the path is a file"):
        DataFolder.at(tmp_path / "data" / "deeper").create()


def test_a_folder_that_the_servers_user_may_not_enter_blocks(open_folder: Path) -> None:
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    assert blocking_folder(closed / "deep" / "data", _NOBODY) == closed
    closed.chmod(0o711)
    assert blocking_folder(closed / "deep" / "data", _NOBODY) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's Postgres runs as another user")
def test_a_folder_below_roots_home_is_refused_and_nothing_is_made_there(open_folder: Path) -> None:
    home = open_folder / "root"
    home.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError) as caught:
        Stack(home / "data").up()
    user = unprivileged_user()
    assert user is not None
    assert str(caught.value) == (
        f"Postgres cannot run as root, and its user '{user.name}' may not enter {home}: "
        "choose a data folder elsewhere, such as --data /var/lib/tidegate"
    )
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "left", "sentence"),
    [
        ("global/pg_control", "PG_VERSION", "is damaged: PG_VERSION or global/pg_control is missing. Restore it"),
        ("PG_VERSION", "global/pg_control", "is damaged: PG_VERSION or global/pg_control is missing. Restore it"),
    ],
)
def test_a_damaged_database_folder_is_never_replaced(tmp_path: Path, missing: str, left: str, sentence: str) -> None:
    data = _database(tmp_path)
    (data / missing).unlink()
    with pytest.raises(ConfigurationError, match=sentence):
        Postgres(DataFolder.at(tmp_path), 1)._check(data)
    assert (data / left).exists()


def test_a_database_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    data = _database(tmp_path)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigurationError, match="was made by Postgres 16, this is 18"):
        Postgres(DataFolder.at(tmp_path), 1)._check(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own a folder that Postgres then refuses")
def test_a_database_folder_that_was_copied_as_root_is_refused(tmp_path: Path) -> None:
    data = _database(tmp_path)
    os.chown(data, 0, 0)
    with pytest.raises(ConfigurationError, match=r"belongs to root.*chown -R tidegate"):
        Postgres(DataFolder.at(tmp_path), 1)._check(data)


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libpython3.11.so.1.0", "libpython3.11"),
        ("libexpat.so.1", "libexpat1"),
        ("libnew.so.1", "the package that contains libnew.so.1"),
    ],
)
def test_a_missing_library_is_named_with_its_package(library: str, package: str) -> None:
    assert debian_package(library) == package


def _database(root: Path) -> Path:
    data = root / "data"
    (data / "global").mkdir(parents=True)
    (data / "global" / "pg_control").write_text("")
    (data / "PG_VERSION").write_text("18\n")
    if os.geteuid() == 0:
        os.chown(data, _NOBODY.uid, _NOBODY.gid)
    return data
