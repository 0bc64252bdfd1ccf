"""Two evaluations stand on the same ground exactly when they measured with the same texts and targets."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

pytest.importorskip("datasketch")

from services.training.config import DataConfig, TableConfig, TrainConfig
from services.training.data.dataset import Dataset
from services.training.data.load import load_config_data
from services.training.evaluation import ground
from services.training.evaluation.functional_tests import read_cases
from services.training.evaluation.ground import ground_sha256
from services.training.evaluation.suites import suite_named
from tests.training.tiny import items

QUICK = suite_named("quick")


def hashed(tmp_path: Path, column: str = "first", encoding: str = "utf-8", **data: object) -> str:
    """Of a table with two columns of labels and of what else `data` names."""
    path = tmp_path / "own.csv"
    if not path.exists():
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["text", "first", "second"])
            rows.writerows([f"naïve sentence {n}", n % 2, n % 3 == 0] for n in range(60))
    table = TableConfig(path=path, labels={"hate": column}, encoding=encoding)
    config = TrainConfig(data=DataConfig.model_validate({"own_examples": False, "tables": [table], **data}))
    return ground_sha256(load_config_data(config, tmp_path), config.data.public, QUICK)


def test_the_same_files_read_in_the_same_way_are_the_same_ground(tmp_path: Path) -> None:
    assert hashed(tmp_path) == hashed(tmp_path)


def test_another_column_and_another_encoding_of_one_file_are_another_ground(tmp_path: Path) -> None:
    assert len({hashed(tmp_path), hashed(tmp_path, column="second"), hashed(tmp_path, encoding="latin-1")}) == 3


def test_other_rows_that_no_file_holds_are_another_ground() -> None:
    one, other = Dataset([], [], items(20), []), Dataset([], [], items(20, seed=2), [])
    assert ground_sha256(one, None, QUICK) != ground_sha256(other, None, QUICK)


def test_another_functional_test_is_another_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset([], [], items(4), [])
    before = ground_sha256(data, None, QUICK)
    monkeypatch.setattr(ground, "read_cases", lambda: list(read_cases())[1:])
    assert ground_sha256(data, None, QUICK) != before


def test_another_safe_prompt_is_another_ground(tmp_path: Path) -> None:
    data, path = Dataset([], [], items(4), []), tmp_path / "en_xstest" / "xstest_prompts.csv"
    path.parent.mkdir()
    found = []
    for prompt in ("kill a process", "shoot a photograph"):
        path.write_text(f"prompt,label\n{prompt},safe\n", encoding="utf-8")
        found.append(ground_sha256(data, tmp_path, QUICK))
    assert found[0] != found[1]


def test_training_texts_do_not_matter() -> None:
    one, other = (Dataset(train, [], items(20), []) for train in ([], items(20, seed=2)))
    assert ground_sha256(one, None, QUICK) == ground_sha256(other, None, QUICK)
