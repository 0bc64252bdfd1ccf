from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from services.errors import ConfigurationError
from services.training.commands import app
from services.training.config import load_config
from services.training.data.load import load_config_data
from services.training.evaluation.evaluate import evaluate
from services.training.evaluation.suites import suite_named
from services.training.trained_on import DATA_FILE
from services.training.versions import FileEntry, VersionRecord, write_record
from tests.training.evaluation.tiny_model import write_tiny_model

QUICK = suite_named("quick")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A user's own table, and no public set."""
    with (tmp_path / "posts.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "toxicity", "split"])
        for number in range(60):
            toxic = number % 2
            rows.writerow(
                [f"{'bad' if toxic else 'nice'} words of number {number}", toxic, ("train", "test")[number % 3 > 0]]
            )
    path = tmp_path / "config.yaml"
    path.write_text("data: {own_examples: false, tables: [{path: posts.csv, split: split}]}\n", encoding="utf-8")
    return path


def test_a_users_own_table_is_enough_and_what_is_missing_is_named(tmp_path: Path, config: Path) -> None:
    served = write_tiny_model(tmp_path / "served")
    found = evaluate("review", tmp_path, served, load_config(config), QUICK)
    (label,) = found.findings.labels
    assert (label.label, label.language, label.auroc.value, label.f1.value) == ("toxicity", "en", 1.0, 1.0)
    assert label.positives + label.negatives == 40
    assert {case.evasion for case in found.findings.evasions} >= {"emoji", "spacing"}
    assert found.findings.explanation is not None
    missing = " ".join(found.skipped)
    for part in ("task cold", "identity terms en", "outside set", "agreement", "XSTest"):
        assert part in missing
    assert found.findings.agreement is None


def test_the_command_prints_tables_and_writes_figures_without_texts_or_paths(tmp_path: Path, config: Path) -> None:
    write_tiny_model(tmp_path / "run" / "served")
    target = tmp_path / "figures.json"
    result = CliRunner().invoke(
        app,
        [
            "evaluate",
            "review",
            "--run",
            str(tmp_path / "run"),
            "--config",
            str(config),
            "--suite",
            "quick",
            "--json",
            str(target),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "1  Labels" in result.output
    written = target.read_text(encoding="utf-8")
    assert json.loads(written)["labels"][0]["auroc"]["value"] == 1.0
    assert "words of number" not in written
    assert str(tmp_path) not in written


def test_a_run_that_does_not_exist_and_an_unknown_suite_are_named(tmp_path: Path) -> None:
    runner = CliRunner()
    for arguments, expected in (
        (["--run", str(tmp_path / "none")], "no run folder"),
        (["--run", str(tmp_path), "--suite", "huge"], "huge"),
        (["--run", str(tmp_path)], "tidegate export"),
    ):
        result = runner.invoke(app, ["evaluate", "review", *arguments])
        assert isinstance(result.exception, ConfigurationError)
        assert expected in str(result.exception)


def test_a_file_that_names_its_own_split_and_changed_after_the_training_is_refused(
    tmp_path: Path, config: Path
) -> None:
    served, settings = write_tiny_model(tmp_path / "served"), load_config(config)
    (entry,) = load_config_data(settings, tmp_path).manifest_json()
    # These few texts are near copies of each other, so that none was left to train on; let some have been.
    (tmp_path / DATA_FILE).write_text(json.dumps([{**entry, "train": 20}]))
    assert evaluate("review", tmp_path, served, settings, QUICK).findings.labels
    with (tmp_path / "posts.csv").open("a", encoding="utf-8") as file:
        file.write("one more,0,test\r\n")
    with pytest.raises(ConfigurationError, match=r"posts names its own split .* and has changed"):
        evaluate("review", tmp_path, served, settings, QUICK)
    config.write_text("data: {own_examples: false, tables: [{path: posts.csv}]}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"posts was split by 'split' .* and is split by 'hash' now"):
        evaluate("review", tmp_path, served, load_config(config), QUICK)


def test_without_test_texts_nothing_is_measured(tmp_path: Path, config: Path) -> None:
    posts = tmp_path / "posts.csv"
    posts.write_text(posts.read_text(encoding="utf-8").replace(",test", ",valid"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no test text"):
        evaluate("review", tmp_path, write_tiny_model(tmp_path / "served"), load_config(config), QUICK)


def test_another_model_than_the_runs_is_not_compared_with_its_weights(tmp_path: Path, config: Path) -> None:
    run, served = tmp_path / "run", write_tiny_model(tmp_path / "served")
    (run / "model").mkdir(parents=True)
    (run / "model" / "head.safetensors").write_bytes(b"")
    (run / "served").mkdir()
    write_record(
        run / "served", VersionRecord(model="review", files={"model.bin": FileEntry(sha256="0" * 64, size_bytes=1)})
    )
    found = evaluate("review", run, served, load_config(config), QUICK)
    assert any("is not what run exported" in sentence for sentence in found.skipped)
