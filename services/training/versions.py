"""The versions of one model on disk: `MODEL/<number>/` with what Triton loads, and `version.json` that says where it is from.

    model_repo/review/config.pbtxt     names the live version (see `model_config`)
    model_repo/review/7/               model.xml model.bin tables.npz tokenizer.json labels.json  model.py  version.json

Promises: a `version.json` and a `config.pbtxt` are replaced in one step, never half written; reading one that is missing or damaged is
not an error, since a version that somebody put there by hand has none. This module changes nothing else on disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import ConfigurationError
from services.training.model_config import chosen_version, labels_of, with_chosen_version

__all__ = [
    "MAX_MODEL_BYTES",
    "VERSION_FILE",
    "Ancestor",
    "FileEntry",
    "ModelFolder",
    "Promotion",
    "VersionRecord",
    "fingerprint",
    "read_record",
    "size_of",
    "write_atomically",
    "write_record",
]

VERSION_FILE = "version.json"

#: A model folder may hold so much in its files: it is committed, and git keeps every version.
MAX_MODEL_BYTES = 50 * 1000 * 1000


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FileEntry(_Document):
    """One file of a version."""

    sha256: str
    size_bytes: int


class Promotion(_Document):
    """How a version went live. `forced` is the reason that a person gave for passing a gate that had failed."""

    at: str
    replaces: int | None = None
    #: What the gate found against it; not empty only when it was forced.
    failed: list[str] = []
    forced: str | None = None
    withdrawn: str | None = None


class Ancestor(_Document):
    """A version whose weights training went on from: whatever it had learned may still be in them."""

    name: str
    base: dict[str, Any] = {}
    files: dict[str, FileEntry] = {}
    data: list[dict[str, Any]] = []


class VersionRecord(_Document):
    """`version.json`: enough to say where a version is from and to make it again."""

    format: int = 1
    model: str
    created: str = ""
    base: dict[str, Any] = {}
    commit: str = ""
    seed: int | None = None
    #: The training configuration.
    config: dict[str, Any] = {}
    #: Of each data set: name, licence, how many texts, sha256 of its files. Never a text.
    data: list[dict[str, Any]] = []
    #: The versions that training went on from, the nearest first; `data` is of the last training alone.
    ancestors: list[Ancestor] = []
    files: dict[str, FileEntry] = {}
    #: What `tidegate evaluate` wrote, when it was there.
    metrics: dict[str, Any] | None = None
    promotion: Promotion | None = None

    def differing(self, folder: Path) -> list[str]:
        """Names of the files in `folder` that are missing or are not the ones recorded here."""
        return [
            name
            for name, entry in sorted(self.files.items())
            if not (folder / name).is_file() or fingerprint(folder / name) != entry
        ]


def fingerprint(path: Path) -> FileEntry:
    """Hash and size of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(sha256=digest, size_bytes=path.stat().st_size)


def size_of(folder: Path) -> dict[str, int]:
    """Size in bytes of each file that belongs to a version, largest first."""
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def read_record(folder: Path) -> VersionRecord | None:
    """The record of the version in `folder`; None when it has none that can be read."""
    try:
        return VersionRecord.model_validate_json((folder / VERSION_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(folder: Path, record: VersionRecord) -> None:
    """Write `version.json` into `folder`, in one step."""
    write_atomically(folder / VERSION_FILE, record.model_dump_json(indent=1) + "\n")


def write_atomically(path: Path, content: str) -> None:
    """Replace a file so that a reader, or a machine that loses power, sees the old content or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model of a Triton model repository."""

    path: Path
    name: str

    @classmethod
    def of(cls, repository: Path, model: str) -> ModelFolder:
        """The folder of `model`.

        Raises:
            ConfigurationError: the repository does not have it.
        """
        path = (repository / model).resolve()
        if not (path / "config.pbtxt").is_file():
            raise ConfigurationError(
                f"{repository} has no model {model} ({model}/config.pbtxt is missing): give --repository the folder of models "
                f"that Triton serves, which is model_repo in a checkout of Tidegate"
            )
        return cls(path, model)

    @property
    def config(self) -> str:
        """The text of `config.pbtxt`."""
        return (self.path / "config.pbtxt").read_text(encoding="utf-8")

    def version_path(self, version: int) -> Path:
        return self.path / str(version)

    def versions(self) -> list[int]:
        """Numbers of the versions on disk, ascending. Like Triton, it takes no leading zeros."""
        return sorted(
            int(entry.name)
            for entry in self.path.iterdir()
            if entry.is_dir() and entry.name.isascii() and entry.name.isdigit() and entry.name == str(int(entry.name))
        )

    def live(self) -> int | None:
        """The version that Triton serves by this configuration; None when there is none on disk.

        Raises:
            ConfigurationError: the configuration names a version that is not there.
        """
        chosen, there = chosen_version(self.config), self.versions()
        if chosen is None:
            return there[-1] if there else None
        if chosen not in there:
            raise ConfigurationError(
                f"{self.path / 'config.pbtxt'} names version {chosen}, which is not on disk "
                f"(there: {', '.join(map(str, there)) or 'none'}): put it back, or name one that is there in version_policy"
            )
        return chosen

    def choose(self, version: int) -> None:
        """Make `config.pbtxt` name this version. Triton takes it at its next load."""
        write_atomically(self.path / "config.pbtxt", with_chosen_version(self.config, version))

    def labels(self) -> tuple[str, ...]:
        """The label names that the configuration declares."""
        return labels_of(self.config)

    def record(self, version: int) -> VersionRecord | None:
        return read_record(self.version_path(version))

    def before(self, version: int) -> int | None:
        """The version to go back to: the one that this version replaced, else the highest below it that nobody has withdrawn.

        None without any.
        """
        record = self.record(version)
        replaced = record.promotion.replaces if record and record.promotion else None
        there = self.versions()
        if replaced in there and replaced != version:
            return replaced
        return max((number for number in there if number < version and not self._withdrawn(number)), default=None)

    def _withdrawn(self, version: int) -> bool:
        record = self.record(version)
        return record is not None and record.promotion is not None and record.promotion.withdrawn is not None

    def withdraw(self, version: int, at: str) -> None:
        """Note in the record of a version that is no longer live that it was taken out of service."""
        record = self.record(version)
        if record is not None:
            promotion = record.promotion or Promotion(at="")
            changed = promotion.model_copy(update={"withdrawn": at})
            write_record(self.version_path(version), record.model_copy(update={"promotion": changed}))

    def superfluous(self, keep: int, protected: Iterable[int]) -> list[int]:
        """The oldest versions beyond `keep`, never one of `protected`."""
        there, safe = self.versions(), set(protected)
        removable = [number for number in there if number not in safe]
        return removable[: max(0, len(there) - keep)]
