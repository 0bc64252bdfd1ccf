"""What a run says of itself, and when it cannot be exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.training import packaging
from services.training.config import SHIPPED_CONFIG, TrainConfig, load_config
from services.training.packaging import check_size, check_trained, read_json, run_config


def test_a_run_keeps_the_configuration_it_was_trained_with(tmp_path: Path) -> None:
    config = TrainConfig(seed=7, batch=4)
    (tmp_path / "run.json").write_text(json.dumps({"config": config.model_dump(mode="json")}))
    assert run_config(tmp_path) == config


def test_a_run_that_kept_none_has_the_shipped_one(tmp_path: Path) -> None:
    assert run_config(tmp_path) == load_config(SHIPPED_CONFIG)


def test_the_public_folder_can_be_given_anew(tmp_path: Path) -> None:
    assert run_config(tmp_path, Path("elsewhere")).data.public == Path("elsewhere")


def test_an_untrained_run_says_to_train_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="run `tidegate train` first"):
        check_trained(tmp_path)


def test_a_folder_that_is_too_large_names_its_largest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging, "MAX_MODEL_BYTES", 1_500_000)
    (tmp_path / "small").write_bytes(b"x" * 100)
    (tmp_path / "large").write_bytes(b"x" * 1_600_000)
    with pytest.raises(ConfigurationError, match=r"1\.6 MB, and a version may have 2 \(large 1\.6, small 0\.0\)"):
        check_size(tmp_path)


@pytest.mark.parametrize("content", ['{"a": ', "[1]", "\xff"])
def test_a_damaged_json_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=r"run\.json .*make it again"):
        read_json(path)


def test_a_json_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "run.json") is None
