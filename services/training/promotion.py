"""Putting a version into service, and taking it out again, without a moment in which nothing serves.

A promotion copies the new files beside the versions, renames the copy to the next number, lets `config.pbtxt` name it, asks Triton
to load (the old version answers until the new one is ready), and asks the new version a question. If Triton refuses or the answer
is wrong, everything goes back and the old version goes on serving.

Promises: a numbered folder is always whole; one promotion at a time (the model folder itself is locked, so nothing is left to clean
when a process is killed); a promotion that was killed half way is undone by the next command, from the note that it left
(`.promotion.json`). It does not judge quality: the gate does, before.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import ConfigurationError
from services.training.versions import (
    VERSION_FILE,
    ModelFolder,
    VersionRecord,
    write_atomically,
    write_record,
)

__all__ = [
    "KEEP_VERSIONS",
    "ModelServer",
    "ServerRefused",
    "locked",
    "now",
    "promote",
    "recover",
    "roll_back",
    "was_cut_off",
]

#: Versions on disk at most. Each is up to 50 MB, and going back further than this is a matter for git.
KEEP_VERSIONS = 5

_NOTE = ".promotion.json"
_INCOMING = ".incoming"

Tell = Callable[[str], None]


class ServerRefused(Exception):
    """The server does not serve the version; the text says why, in its words."""


class ModelServer(Protocol):
    """A Triton server that reads the same model repository."""

    def serve(self, model: str, version: int) -> None:
        """Load the model as its configuration says now, and return when `version` is ready and has answered a question.

        Raises:
            ServerRefused: it does not load, does not answer, or the server cannot be reached.
        """


class _Note(BaseModel):
    """What a promotion that is under way has changed, so that the next command can undo it."""

    model_config = ConfigDict(frozen=True)

    previous: int
    incoming: int | None = None


def now() -> str:
    """The time as records hold it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def locked(model: ModelFolder) -> Iterator[None]:
    """Nobody else promotes this model for the time of the block. The lock ends with the process, however it ends.

    Raises:
        ConfigurationError: somebody else is at it.
    """
    descriptor = os.open(model.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(
            f"another promotion of {model.name} is under way in {model.path}: wait until it ends, then see "
            f"`tidegate promote {model.name} --list`"
        ) from None
    else:
        yield
    finally:
        os.close(descriptor)


def was_cut_off(model: ModelFolder) -> bool:
    """Whether a promotion is under way, or was killed and waits for `recover`."""
    return _read_note(model) is not None


def recover(model: ModelFolder, server: ModelServer | None, tell: Tell) -> Literal["promotion", "rollback"] | None:
    """Undo what a killed command left behind, and say which one it was; None when there was nothing. Call it under the lock."""
    _remove(model.path / _INCOMING)
    note = _read_note(model)
    if note is None:
        return None
    what: Literal["promotion", "rollback"] = "rollback" if note.incoming is None else "promotion"
    tell(f"a {what} was cut off half way: version {note.previous} stays the live one")
    _undo(model, note, server, tell)
    return what


def promote(model: ModelFolder, served: Path, record: VersionRecord, server: ModelServer | None, tell: Tell) -> int:
    """Make the files of `served` the live version; returns its number. Call it under the lock, after `recover`.

    The serving code (`model.py`) is the live version's. `record` becomes the version's `version.json`.

    Raises:
        ConfigurationError: it did not go live (a full disk, a server that refuses it); the version before is live as it was.
    """
    live = _live_version(model)
    number = max(model.versions()) + 1
    incoming = model.path / _INCOMING
    try:
        _copy(model, served, record, live, incoming)
        # From here on Triton must not choose by itself: the new folder would be the highest number.
        model.choose(live)
        note = _Note(previous=live, incoming=number)
        _write_note(model, note)
        incoming.rename(model.version_path(number))
    except OSError as error:
        _remove(incoming)
        _forget_note(model)
        raise ConfigurationError(
            f"version {number} could not be written to {model.path} ({_why(error)}); version {live} is live as before"
        ) from error
    _go_live(model, number, note, server, tell)
    for old in model.superfluous(KEEP_VERSIONS, {number, live}):
        tell(f"version {old} is removed: {KEEP_VERSIONS} versions stay on disk")
        _remove(model.version_path(old))
    return number


def roll_back(model: ModelFolder, server: ModelServer | None, tell: Tell) -> tuple[int, int]:
    """Make the version before the live one; returns both numbers, left and taken. Call it under the lock, after `recover`.

    Raises:
        ConfigurationError: there is no version before, the disk is full, or the server refuses it; the live version stays.
    """
    live = _live_version(model)
    target = model.before(live)
    if target is None:
        raise ConfigurationError(
            f"there is no version before {live} in {model.path} that was not withdrawn: nothing to go back to"
        )
    note = _Note(previous=live)
    try:
        _write_note(model, note)
    except OSError as error:
        raise ConfigurationError(
            f"{model.path} cannot be written to ({_why(error)}): make room, and try again; version {live} is live as before"
        ) from error
    _go_live(model, target, note, server, tell)
    try:
        model.withdraw(live, now())
    except OSError as error:
        tell(f"the record of version {live} could not be marked as withdrawn ({_why(error)})")
    return live, target


def _live_version(model: ModelFolder) -> int:
    live = model.live()
    if live is None:
        raise ConfigurationError(
            f"{model.path} has no version yet, and a version takes its model.py from the one before: begin with the folder "
            f"{model.name} of Tidegate's own model_repo"
        )
    return live


def _copy(model: ModelFolder, served: Path, record: VersionRecord, live: int, incoming: Path) -> None:
    _remove(incoming)
    incoming.mkdir()
    for name in record.files:
        _copy_durably(served / name, incoming / name)
    code = model.version_path(live) / "model.py"
    if code.is_file():
        _copy_durably(code, incoming / "model.py")
    wrong = record.differing(incoming)
    if wrong:
        _remove(incoming)
        raise ConfigurationError(
            f"{served}: {', '.join(wrong)} changed while it was copied, or is not what {VERSION_FILE} says: export again"
        )
    write_record(incoming, record)


def _copy_durably(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _go_live(model: ModelFolder, number: int, note: _Note, server: ModelServer | None, tell: Tell) -> None:
    try:
        model.choose(number)
        if server is not None:
            tell(f"Triton loads version {number}; version {note.previous} answers until it is ready")
            server.serve(model.name, number)
    except (ServerRefused, OSError) as error:
        _undo(model, note, server, tell)
        raise ConfigurationError(
            f"version {number} did not go live: {error}. Version {note.previous} goes on serving"
        ) from error
    except BaseException:  # Ctrl-C: the person wants out, and the old version back
        _undo(model, note, server, tell)
        raise
    _forget_note(model)


def _undo(model: ModelFolder, note: _Note, server: ModelServer | None, tell: Tell) -> None:
    if not _is_live(model, note.previous):  # else there is nothing to write, which a full disk would refuse
        try:
            model.choose(note.previous)
        except OSError:  # a full disk: the new version makes room
            if note.incoming is not None:
                _remove(model.version_path(note.incoming))
            model.choose(note.previous)
    if server is not None:
        try:
            server.serve(model.name, note.previous)
        except ServerRefused as error:
            tell(f"Triton could not be told to keep version {note.previous}: {error}")
    if note.incoming is not None:
        _remove(model.version_path(note.incoming))
    _forget_note(model)


def _is_live(model: ModelFolder, version: int) -> bool:
    try:
        return model.live() == version
    except ConfigurationError:  # it names one that is gone
        return False


def _why(error: OSError) -> str:
    return "the disk is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else str(error.strerror or error)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _write_note(model: ModelFolder, note: _Note) -> None:
    write_atomically(model.path / _NOTE, note.model_dump_json())


def _read_note(model: ModelFolder) -> _Note | None:
    try:
        return _Note.model_validate_json((model.path / _NOTE).read_bytes())
    except (OSError, ValidationError):
        return None


def _forget_note(model: ModelFolder) -> None:
    (model.path / _NOTE).unlink(missing_ok=True)
