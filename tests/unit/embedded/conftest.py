"""A folder that other users may enter, which pytest's `tmp_path` is not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tidegate-unit-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
