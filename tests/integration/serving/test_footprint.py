"""Speed and memory of exported versions, measured on the shipped one."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.serving import MODEL_FILES
from services.training.footprint import measure
from services.training.versions import ModelFolder

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


@pytest.fixture(scope="module")
def live() -> Path:
    model = ModelFolder.of(Path(__file__).resolve().parents[3] / "model_repo", "review")
    number = model.live()
    assert number is not None
    return model.version_path(number)


def copy(live: Path, target: Path, changed: str, content: bytes) -> Path:
    """The live version with one file of another content."""
    target.mkdir()
    for name in MODEL_FILES:
        if name != changed:
            (target / name).symlink_to(live / name)
    (target / changed).write_bytes(content)
    return target


def test_a_version_beside_itself_costs_the_same_memory(live: Path) -> None:
    one, other = measure([live, live], rounds=2)
    assert one.texts_per_second > 0
    assert other.texts_per_second > 0
    assert one.memory_mb == pytest.approx(other.memory_mb, rel=0.1)


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "tables.npz", "tokenizer.json"])
def test_a_damaged_file_is_an_error_that_names_the_folder(live: Path, tmp_path: Path, name: str) -> None:
    whole = (live / name).read_bytes()
    folder = copy(live, tmp_path / "damaged", name, whole[: len(whole) // 3])
    with pytest.raises(ConfigurationError, match="damaged cannot be loaded"):
        measure([folder], rounds=1)
