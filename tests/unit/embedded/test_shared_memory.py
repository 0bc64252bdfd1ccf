"""Regions of a killed Triton are removed; those in use are not."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from deploy.embedded.shared_memory import remove_stale_regions

_NAME = "triton_python_backend_shm_region_"


def _region(folder: Path, name: str, age_s: float = 60) -> Path:
    path = folder / f"{_NAME}{name}"
    path.write_bytes(b"\0" * mmap.PAGESIZE)
    changed = path.stat().st_mtime - age_s
    os.utime(path, (changed, changed))
    return path


def test_a_region_that_nobody_has_mapped_is_removed(tmp_path: Path) -> None:
    stale = _region(tmp_path, "stale")
    assert remove_stale_regions(tmp_path) == 1
    assert not stale.exists()


def test_a_region_that_a_process_has_mapped_stays(tmp_path: Path) -> None:
    used = _region(tmp_path, "used")
    with used.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        assert remove_stale_regions(tmp_path) == 0
    assert used.exists()
    assert remove_stale_regions(tmp_path) == 1


def test_a_region_that_was_made_this_moment_stays_because_it_may_not_be_mapped_yet(tmp_path: Path) -> None:
    new = _region(tmp_path, "new", age_s=0)
    assert remove_stale_regions(tmp_path) == 0
    assert new.exists()


def test_other_files_stay(tmp_path: Path) -> None:
    other = tmp_path / "somebody-elses"
    other.write_bytes(b"")
    assert remove_stale_regions(tmp_path) == 0
    assert other.exists()


def test_a_process_with_a_file_whose_name_is_no_utf8_disturbs_nobody(tmp_path: Path) -> None:
    foreign = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xc4\xe3\xba\xc3"))
    foreign.write_bytes(b"x")
    _region(tmp_path, "stale")
    with foreign.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        assert remove_stale_regions(tmp_path) == 1
