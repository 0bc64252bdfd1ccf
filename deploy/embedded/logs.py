"""Logs of the parts: one file each, bounded, and the sentence that explains a failure.

Processes write to their file themselves, in append mode, so nothing is lost when the supervisor dies. A file over the
limit is copied to `<name>.log.1` and cut; lines written in that moment may be lost.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

__all__ = ["explain", "keep_small", "tail"]

_LIMIT_BYTES = 20 * 1024 * 1024

_SENTENCES = (
    (r"no space left on device|disk quota exceeded", "the disk is full: free some space, it then goes on by itself"),
    (
        r"(?:address already in use|could not create any tcp|bind.*failed)",
        "its port is taken by another program: run `tidegate down` and `tidegate up`, which chooses another one",
    ),
    (
        r"error while loading shared libraries: (\S+?):",
        "the shared library {0} is missing: install the package that has it",
    ),
    (r"outofmemoryerror", "the Java process ran out of memory: stop other programs, or use a remote Kafka"),
    (r"cannot allocate memory|std::bad_alloc", "the machine has no memory left: stop other programs"),
    (r"no module named '?([\w.]+)", "the Python module {0} is missing: install the project again with `make install`"),
    (r"permission denied", "a file may not be read or written: does the data folder belong to another user?"),
    (
        r"could not look up effective user id (\d+)",
        "Postgres needs a user with a name, this one is only the number {0}: use a remote one with TIDEGATE_POSTGRES_DSN",
    ),
    (
        r"database files are incompatible",
        "the data folder was made by another Postgres version: use a new --data folder",
    ),
)


def keep_small(path: Path) -> None:
    """Cut a log that is over the limit, keeping one older file."""
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            shutil.copyfile(path, path.with_name(path.name + ".1"))
            with path.open("r+b") as file:
                file.truncate(0)
    except OSError:
        # A log that cannot be cut (a full disk) is no reason to stop.
        return


def tail(path: Path, size_bytes: int = 8192) -> str:
    """The end of a log, or nothing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size_bytes))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def explain(text: str) -> str:
    """One sentence on why a process failed: a known cause with what to do, else its last line."""
    for pattern, sentence in _SENTENCES:
        found = re.findall(pattern, text, flags=re.IGNORECASE)
        if found:
            return sentence.format(found[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it wrote nothing to its log"
