"""Checks before anything starts, each with a sentence that says what to do."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

from deploy.embedded.processes import RunAs
from services.errors import ConfigurationError

__all__ = ["blocking_folder", "check_disk", "debian_package"]

#: Kafka's and Postgres' folders take about 120 MB when empty; below this a first burst of messages would fill the disk.
_NEEDED_MB = 400

_DEBIAN_PACKAGES = {
    "libexpat.so.1": "libexpat1",
    "libz.so.1": "zlib1g",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
}


def check_disk(folder: Path) -> None:
    """Enough room for a start.

    Raises:
        ConfigurationError: the disk of the data folder is nearly full.
    """
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < _NEEDED_MB:
        raise ConfigurationError(
            f"the disk of {folder} has {free_mb} MB free and the stack needs {_NEEDED_MB} MB to start: "
            "free some space, or choose a folder on another disk with --data DIR"
        )


def debian_package(library: str) -> str:
    """The Debian package that brings a shared library."""
    python = re.match(r"libpython(\d+\.\d+)", library)
    if python:
        return f"libpython{python.group(1)}"
    return _DEBIAN_PACKAGES.get(library, f"the package that contains {library}")


def blocking_folder(path: Path, run_as: RunAs) -> Path | None:
    """The first folder above `path` that the user may not enter, or None. What does not exist yet blocks nobody."""
    for folder in reversed(path.resolve().parents):
        try:
            found = folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISDIR(found.st_mode):
            return None
        bit = 0o100 if found.st_uid == run_as.uid else 0o010 if found.st_gid == run_as.gid else 0o001
        if not found.st_mode & bit:
            return folder
    return None
