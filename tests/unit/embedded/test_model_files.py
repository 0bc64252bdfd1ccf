"""Which models there are, and when two versions are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded.model_files import Fingerprints, find_models


def _model(repository: Path, name: str) -> Path:
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f'name: "{name}"')
    (folder / "1" / "model.py").write_text("code")
    return folder


def test_every_folder_with_a_configuration_is_a_model_and_the_first_repository_wins(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    first = _model(one, "review")
    _model(other, "review")
    second = _model(other, "generate")
    (one / "notes").mkdir()
    assert find_models([one, other, tmp_path / "missing"]) == {"review": first, "generate": second}


def test_a_fingerprint_is_the_same_for_the_same_files_anywhere(tmp_path: Path) -> None:
    one, other = _model(tmp_path / "one", "review"), _model(tmp_path / "other", "review")
    assert len(Fingerprints().of(one, "1")) == 64
    assert Fingerprints().of(one, "1") == Fingerprints().of(other, "1")


@pytest.mark.parametrize("change", ["config.pbtxt", "1/model.py", "1/weights.bin", "1/deep/er.txt"])
def test_a_fingerprint_changes_with_the_configuration_and_with_any_file(tmp_path: Path, change: str) -> None:
    model = _model(tmp_path, "review")
    fingerprints = Fingerprints()
    before = fingerprints.of(model, "1")
    (model / change).parent.mkdir(exist_ok=True)
    (model / change).write_text("something else")
    assert fingerprints.of(model, "1") != before


def test_what_the_stub_writes_beside_the_model_does_not_count(tmp_path: Path) -> None:
    model = _model(tmp_path, "review")
    before = Fingerprints().of(model, "1")
    (model / "1" / "__pycache__").mkdir()
    (model / "1" / "__pycache__" / "model.pyc").write_text("compiled")
    assert Fingerprints().of(model, "1") == before


def test_a_model_that_cannot_be_read_has_no_fingerprint(tmp_path: Path) -> None:
    assert Fingerprints().of(tmp_path / "none", "1") == ""
