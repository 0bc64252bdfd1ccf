"""Where everything of one embedded stack lives: one data folder, the same after `down` and `up`.

    DATA/kafka/  postgres/  triton/     what the parts keep
    DATA/logs/<name>.log                what the processes print
    DATA/run/                           the lock, the plan, the state, one record per process
    DATA/ports.json                     the ports chosen at the first start

Valkey keeps nothing on purpose: it is transport. Naming a folder creates nothing; `create()` does.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from services.errors import ConfigurationError

__all__ = ["DataFolder", "default_data_dir", "write_private"]

_ANOTHER = "choose another one with --data DIR, or make it writable for this user"
_REMEDY = {
    errno.ENOSPC: "the disk is full, free some space or choose a folder on another disk with --data DIR",
    errno.ENOTDIR: "a part of the path is a file, choose another one with --data DIR",
    errno.EEXIST: "there is a file of that name, choose another one with --data DIR",
}


def default_data_dir() -> Path:
    """`$TIDEGATE_DATA`, else /var/lib/tidegate for root, else ~/.local/share/tidegate."""
    chosen = os.environ.get("TIDEGATE_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if os.geteuid() == 0:
        # Never below /root: Postgres refuses to run as root, and its own user could not enter the folder.
        return Path("/var/lib/tidegate")
    return Path("~/.local/share/tidegate").expanduser()


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The paths below one data folder. `root` is absolute."""

    root: Path

    @classmethod
    def at(cls, path: Path | str | None = None) -> DataFolder:
        return cls(Path(path).expanduser().resolve() if path is not None else default_data_dir().resolve())

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def triton(self) -> Path:
        return self.root / "triton"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def records(self) -> Path:
        """One file per process that was started: its pid and creation time."""
        return self.run / "processes"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def plan(self) -> Path:
        return self.run / "plan.json"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the folders that every part needs.

        Raises:
            ConfigurationError: the folder cannot be made or written by this user.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (self.logs, self.run, self.records):
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the data folder {self.root} cannot be used ({error.strerror}): {_REMEDY.get(error.errno or 0, _ANOTHER)}"
            ) from None
        if not os.access(self.run, os.W_OK, effective_ids=True):
            owner = self.run.stat().st_uid
            remedy = "its disk may only be read" if owner == os.geteuid() else f"it belongs to the user with id {owner}"
            raise ConfigurationError(
                f"the data folder {self.root} may not be written ({remedy}): choose a folder of your own with --data DIR"
            )


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step. Readable by its owner only: a remote address may hold a password."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)  # the mode below counts for a new file only
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
