"""Versions on disk: which are there, which is live, which one to go back to."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.training.versions import ModelFolder, Promotion, VersionRecord, fingerprint, read_record, write_record
from tests.unit.training.model_folders import export, make_model


def test_only_numbers_without_leading_zeros_are_versions(tmp_path: Path) -> None:
    model = make_model(tmp_path, {1: None, 10: 1, 2: 1})
    for name in ("03", "x", "__pycache__", ".incoming", "²"):
        (model.path / name).mkdir()
    (model.path / "4").write_text("a file")
    assert model.versions() == [1, 2, 10]


def test_without_a_policy_the_highest_number_is_live(tmp_path: Path) -> None:
    assert make_model(tmp_path, {1: None, 2: 1}).live() == 2


def test_the_named_version_is_live_although_a_higher_one_is_there(tmp_path: Path) -> None:
    assert make_model(tmp_path, {1: None, 2: 1}, live=1).live() == 1


def test_a_named_version_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"names version 7.*there: 1, 2"):
        make_model(tmp_path, {1: None, 2: 1}, live=7).live()


def test_a_model_without_versions_has_no_live_one(tmp_path: Path) -> None:
    assert make_model(tmp_path, {}).live() is None


def test_a_repository_without_the_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no model review"):
        ModelFolder.of(tmp_path, "review")


def test_the_version_before_is_the_one_that_was_replaced_and_not_the_next_lower_number(tmp_path: Path) -> None:
    # 3 was rolled back to 2, then 4 came: going back from 4 must not lead to 3.
    model = make_model(tmp_path, {1: None, 2: 1, 3: 2, 4: 2}, live=4)
    assert model.before(4) == 2
    assert model.before(2) == 1
    assert model.before(1) is None


def test_a_version_whose_predecessor_was_removed_goes_back_to_the_next_lower_one(tmp_path: Path) -> None:
    assert make_model(tmp_path, {3: 2, 5: 4}, live=5).before(5) == 3


def test_a_withdrawn_version_is_none_to_go_back_to(tmp_path: Path) -> None:
    # 2 was replaced by 4 and pruned since; 3 was taken out of service.
    model = make_model(tmp_path, {1: None, 3: 2, 4: 2}, live=4)
    model.withdraw(3, "2026-02-02T00:00:00Z")
    assert model.before(4) == 1
    model.withdraw(1, "2026-02-02T00:00:00Z")
    assert model.before(4) is None


def test_a_record_from_before_there_were_ancestors_is_read(tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text('{"format": 1, "model": "toy", "data": [{"name": "a"}]}')
    record = read_record(tmp_path)
    assert record is not None
    assert (record.data, record.ancestors) == ([{"name": "a"}], [])


def test_a_damaged_record_reads_as_none(tmp_path: Path) -> None:
    model = make_model(tmp_path, {1: None})
    (model.version_path(1) / "version.json").write_text('{"model": ')
    assert model.record(1) is None
    assert model.before(1) is None


def test_a_withdrawn_version_says_when(tmp_path: Path) -> None:
    model = make_model(tmp_path, {1: None, 2: 1})
    model.withdraw(2, "2026-02-02T00:00:00Z")
    record = model.record(2)
    assert record is not None
    assert record.promotion == Promotion(at="2026-01-01T00:00:00Z", replaces=1, withdrawn="2026-02-02T00:00:00Z")


def test_the_oldest_versions_are_superfluous_but_never_a_protected_one(tmp_path: Path) -> None:
    model = make_model(tmp_path, dict.fromkeys(range(1, 8)))
    assert model.superfluous(5, {7, 1}) == [2, 3]
    assert model.superfluous(9, {7}) == []


def test_a_record_survives_writing_and_reading(tmp_path: Path) -> None:
    record = VersionRecord(model="toy", seed=3, metrics={"a": 1.5}, promotion=Promotion(at="x", forced="because"))
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["version.json"]


def test_a_changed_and_a_missing_file_differ_from_the_record(tmp_path: Path) -> None:
    folder, record = export(tmp_path / "served")
    record = record.model_copy(update={"files": {**record.files, "gone": fingerprint(folder / "weights")}})
    assert record.differing(folder) == ["gone"]
    (folder / "weights").write_text("NEW weights")  # of the same length
    assert record.differing(folder) == ["gone", "weights"]
