"""Shared memory that a killed Triton left behind in /dev/shm: a megabyte or more each time, until memory is full."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

__all__ = ["remove_stale_regions"]

_PREFIX = "triton_python_backend_shm_region_"
#: A region that is being made is not mapped yet.
_YOUNG_S = 2.0


def remove_stale_regions(folder: Path = Path("/dev/shm")) -> int:  # noqa: S108 - Triton's choice
    """Remove the regions that no living process has mapped. Returns how many.

    Another user's processes cannot be looked into, but then its files cannot be removed either.
    """
    regions = {path for path in folder.glob(f"{_PREFIX}*") if _age_s(path) > _YOUNG_S}
    if not regions:
        return 0
    used: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            used |= {
                line.split(_PREFIX, 1)[1].split()[0]
                for line in maps.read_text(errors="replace").splitlines()
                if _PREFIX in line
            }
    removed = 0
    for path in regions:
        if path.name.removeprefix(_PREFIX) not in used:
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
