"""`tidegate promote` on files: what it refuses, what it prints, and what it records. Speed and memory are given, not measured."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.errors import ConfigurationError
from services.serving import MODEL_FILES
from services.training import acceptance, versions
from services.training.commands import app
from services.training.footprint import Footprint
from services.training.promotion import locked
from services.training.versions import ModelFolder, VersionRecord, fingerprint, write_record
from tests.unit.training.evaluations import document

_LABELS = ["hate", "spam"]


@dataclass
class Ground:
    """A model with a live version 1, and a run that exported a candidate, both measured and equally good."""

    repository: Path
    run: Path

    @property
    def model(self) -> ModelFolder:
        return ModelFolder.of(self.repository, "review")

    @property
    def served(self) -> Path:
        return self.run / "served"

    def promote(self, *options: str) -> str:
        """Run the command; its output, for exit code 0 and 1 alike."""
        where = ("--repository", str(self.repository), "--run", str(self.run), "--offline")
        result = CliRunner().invoke(app, ["promote", "review", *where, *options])
        if isinstance(result.exception, ConfigurationError):
            raise result.exception
        assert result.exit_code == (1 if "the gate fails" in result.output else 0)
        return " ".join(result.output.split())

    def measured(self, quality: float) -> None:
        """The candidate's figures."""
        (self.run / "metrics.json").write_text(json.dumps(document(hashes(self.served), quality)))

    def export(self, labels: list[str] | None = None) -> None:
        """The candidate's files and record."""
        fill(self.served, "new", labels or _LABELS)


def fill(folder: Path, content: str, labels: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODEL_FILES:
        (folder / name).write_text(f"{content} {name}")
    (folder / "labels.json").write_text(json.dumps({"labels": labels}))
    write_record(folder, VersionRecord(model="review", files={n: fingerprint(folder / n) for n in MODEL_FILES}))


def hashes(folder: Path) -> dict[str, str]:
    return {name: fingerprint(folder / name).sha256 for name in MODEL_FILES}


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(acceptance, "measure", lambda folders: [Footprint(100, 500) for _ in folders])
    path = tmp_path / "models" / "review"
    live = path / "1"
    fill(live, "old", _LABELS)
    (live / "model.py").write_text("# serving code\n")
    (path / "config.pbtxt").write_text('parameters { key: "labels" value { string_value: "hate,spam" } }\n')
    record = versions.read_record(live)
    assert record is not None
    write_record(live, record.model_copy(update={"metrics": document(hashes(live))}))
    ground = Ground(tmp_path / "models", tmp_path / "run")
    ground.export()
    ground.measured(0.9)
    return ground


def test_an_equally_good_version_goes_live_with_its_figures_and_its_history(ground: Ground) -> None:
    said = ground.promote()
    assert "version 2 is live in the files" in said
    record = ground.model.record(2)
    assert record is not None
    assert record.promotion is not None
    assert (record.promotion.replaces, record.promotion.forced, record.promotion.failed) == (1, None, [])
    assert record.metrics == document(hashes(ground.served))
    assert ground.model.live() == 2


def test_each_check_is_printed_with_the_room_that_is_left(ground: Ground) -> None:
    said = ground.promote()
    assert "quality hate zh │ 0.9 │ 0.9 │ 0.88 │ +0.02" in said
    assert "false positives identity terms zh │ 0.01 │ 0.01 │ 0.02 │ +0.01" in said
    assert "cost texts per second │ 100 │ 100 │ 85 │ +15" in said


def test_a_weaker_version_is_refused_by_name_and_amount_and_nothing_changes(ground: Ground) -> None:
    ground.measured(0.8)
    said = ground.promote()
    assert "the gate fails: quality hate zh: 0.8 is 0.08 below the limit 0.88 (live 0.9)" in said
    assert "the gate fails: robustness leet en" in said
    assert "nothing was changed" in said
    assert ground.model.versions() == [1]


def test_a_slower_version_is_refused(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "measure", lambda _: [Footprint(50, 500), Footprint(100, 500)])
    assert "the gate fails: cost texts per second: 50 is 35 below the limit 85" in ground.promote()


def test_a_forced_version_records_the_reason_and_what_the_gate_said(ground: Ground) -> None:
    ground.measured(0.8)
    assert "version 2 is live" in ground.promote("--force", "the old one leaks")
    record = ground.model.record(2)
    assert record is not None
    assert record.promotion is not None
    assert record.promotion.forced == "the old one leaks"
    assert any("quality hate zh" in sentence for sentence in record.promotion.failed)
    assert "forced: the old one leaks" in ground.promote("--list")


def test_a_version_that_passes_is_not_recorded_as_forced(ground: Ground) -> None:
    ground.promote("--force", "just in case")
    record = ground.model.record(2)
    assert record is not None
    assert record.promotion is not None
    assert record.promotion.forced is None


def test_an_empty_reason_is_refused(ground: Ground) -> None:
    with pytest.raises(ConfigurationError, match="--force needs a reason"):
        ground.promote("--force", " ")


def test_without_figures_the_gate_says_to_evaluate_first(ground: Ground) -> None:
    (ground.run / "metrics.json").unlink()
    assert "run `tidegate evaluate review` first" in ground.promote()


def test_figures_of_an_earlier_export_do_not_count(ground: Ground) -> None:
    (ground.served / "model.bin").write_text("exported again")
    write_record(
        ground.served,
        VersionRecord(model="review", files={n: fingerprint(ground.served / n) for n in MODEL_FILES}),
    )
    assert "metrics.json is of another export" in ground.promote()


def test_a_live_version_without_figures_can_be_given_them(ground: Ground, tmp_path: Path) -> None:
    live = ground.model.version_path(1)
    write_record(live, VersionRecord(model="review"))
    assert "version 1 has no metrics" in ground.promote()
    given = tmp_path / "live.json"
    given.write_text(json.dumps(document(hashes(live))))
    assert "version 2 is live" in ground.promote("--live-metrics", str(given))


def test_figures_of_other_files_are_not_taken_for_the_live_version_s(ground: Ground, tmp_path: Path) -> None:
    given = tmp_path / "live.json"
    given.write_text(json.dumps(document(hashes(ground.served))))
    assert "are not of the files of version 1" in ground.promote("--live-metrics", str(given))


def test_a_live_version_with_a_missing_file_fails_the_gate_and_is_replaced_only_by_force(ground: Ground) -> None:
    (ground.model.version_path(1) / "model.bin").unlink()
    said = ground.promote()
    assert "the gate fails: all of the live version: not known: model.bin is missing in" in said
    assert ground.model.versions() == [1]
    assert "version 2 is live" in ground.promote("--force", "its files are lost")


def test_other_labels_are_refused_by_name_and_cannot_be_forced(ground: Ground) -> None:
    ground.export(["hate", "rudeness"])
    ground.measured(0.9)
    with pytest.raises(ConfigurationError, match="new: rudeness, gone: spam"):
        ground.promote("--force", "anyway")
    assert ground.model.versions() == [1]


@pytest.mark.parametrize("name", [*MODEL_FILES])
def test_a_missing_and_a_changed_file_are_refused_by_name(ground: Ground, name: str) -> None:
    (ground.served / name).write_text("changed")
    with pytest.raises(ConfigurationError, match=f"{name} is missing or is not what version.json says"):
        ground.promote("--force", "anyway")
    (ground.served / name).unlink()
    with pytest.raises(ConfigurationError, match=f"{name} is missing"):
        ground.promote("--force", "anyway")


def test_a_run_without_an_export_says_to_export_first(ground: Ground) -> None:
    (ground.served / "version.json").unlink()
    with pytest.raises(ConfigurationError, match="run `tidegate export review` first"):
        ground.promote()


def test_a_version_too_large_for_git_is_refused(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.training.packaging.MAX_MODEL_BYTES", 100)
    with pytest.raises(ConfigurationError, match="keep fewer pieces"):
        ground.promote()


def test_a_second_promotion_at_the_same_time_is_refused(ground: Ground) -> None:
    with locked(ground.model), pytest.raises(ConfigurationError, match="another promotion of review is under way"):
        ground.promote()


def test_a_rollback_names_both_versions(ground: Ground) -> None:
    ground.promote()
    assert "version 1 is live in the files; the next start of Triton serves it; version 2 stays" in ground.promote(
        "--rollback"
    )
    assert ground.model.live() == 1


def test_the_list_marks_the_live_version(ground: Ground) -> None:
    ground.promote()
    listed = ground.promote("--list")
    assert "2 live" in listed
    assert "1 live" not in listed


def test_the_list_tells_of_a_promotion_that_was_cut_off(ground: Ground) -> None:
    assert "cut off" not in ground.promote("--list")
    (ground.model.path / ".promotion.json").write_text('{"previous": 1, "incoming": 2}')
    assert "cut off" in ground.promote("--list")
    assert "a promotion was cut off half way: version 1 stays the live one" in ground.promote()
    assert "cut off" not in ground.promote("--list")


def test_without_a_running_stack_it_says_where_triton_could_be(ground: Ground, tmp_path: Path) -> None:
    arguments = ["promote", "review", "--repository", str(ground.repository), "--data", str(tmp_path / "none")]
    result = CliRunner().invoke(app, arguments)
    assert "--triton-http HOST:PORT" in str(result.exception)
    assert "--offline" in str(result.exception)


@pytest.mark.parametrize("address", ["somewhere", "https://host:1", "host:x", "http://host:1/models"])
def test_an_address_that_is_none_is_refused(ground: Ground, address: str) -> None:
    arguments = ["promote", "review", "--repository", str(ground.repository), "--triton-http", address]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ConfigurationError)
    assert "is not the address of a Triton" in str(result.exception)


def test_a_rollback_after_a_promotion_that_was_cut_off_keeps_the_version_that_was_live(ground: Ground) -> None:
    ground.promote()
    (ground.model.path / ".promotion.json").write_text('{"previous": 2, "incoming": 3}')
    shutil.copytree(ground.model.version_path(2), ground.model.version_path(3))
    said = ground.promote("--rollback")
    assert "a promotion was cut off half way: version 2 stays the live one" in said
    assert (ground.model.live(), ground.model.versions()) == (2, [1, 2])
    assert "version 1 is live" in ground.promote("--rollback")


def test_a_rollback_that_was_cut_off_is_done_by_the_next(ground: Ground) -> None:
    ground.promote()
    (ground.model.path / ".promotion.json").write_text('{"previous": 2}')
    assert "version 1 is live" in ground.promote("--rollback")
    assert ground.model.live() == 1
