"""The chain of commands on a tiny model: train, export, promote."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.errors import ConfigurationError
from services.serving import MODEL_FILES, load_engine
from services.training.commands import _commit, app
from services.training.data.labels import LABELS
from services.training.release_commands import _short
from services.training.versions import ModelFolder, VersionRecord, read_record
from tests.training.tiny import texts

pytestmark = [
    pytest.mark.timeout(900),
    # OpenVINO traces torch models by a way that torch has begun to leave.
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
]

_CONFIG = """
data: {own_examples: false, tables: [{path: toy.csv, language: en}], evasion_share: 0.0}
batch: 8
width: 32
threads: 2
learning_rate: 3.0e-3
head_learning_rate: 3.0e-2
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """A run that was trained and exported, and what the commands said."""

    folder: Path
    trained: Result
    exported: Result

    @property
    def run(self) -> Path:
        return self.folder / "run"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def chain(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("chain")
    rows = [f"{text},{int(bad)}" for text, bad in texts(600)]
    (folder / "toy.csv").write_text("\n".join(["text,toxicity", *rows]), encoding="utf-8")
    (folder / "toy.yaml").write_text(_CONFIG, encoding="utf-8")
    run = folder / "run"
    trained = call("train", "review", "--config", folder / "toy.yaml", "--base", base, "--out", run, "--steps", 40)
    return Chain(folder, trained, call("export", "review", "--run", run))


def test_a_finished_run_with_other_labels_is_refused_and_keeps_the_manifest_of_its_weights(
    chain: Chain, base: Path, tmp_path: Path
) -> None:
    shutil.copytree(chain.run, tmp_path / "run")
    before = (tmp_path / "run" / "data.json").read_bytes()
    rows = [f"{text},{int(not bad)}" for text, bad in texts(600)]
    (tmp_path / "toy.csv").write_text("\n".join(["text,toxicity", *rows]), encoding="utf-8")
    (tmp_path / "toy.yaml").write_text(_CONFIG, encoding="utf-8")
    where = ("--config", tmp_path / "toy.yaml", "--base", base, "--out", tmp_path / "run")
    refused = call("train", "review", *where, "--steps", 40)
    assert isinstance(refused.exception, ConfigurationError)
    assert "other settings or data (the training texts or their labels)" in str(refused.exception)
    assert (tmp_path / "run" / "data.json").read_bytes() == before


def test_without_validation_texts_training_does_not_begin(base: Path, tmp_path: Path) -> None:
    rows = [f"{text},{int(bad)},train" for text, bad in texts(40)]
    (tmp_path / "toy.csv").write_text("\n".join(["text,toxicity,split", *rows]), encoding="utf-8")
    config = _CONFIG.replace("language: en", "language: en, split: split")
    (tmp_path / "toy.yaml").write_text(config, encoding="utf-8")
    where = ("--config", tmp_path / "toy.yaml", "--base", base, "--out", tmp_path / "run")
    refused = call("train", "review", *where, "--steps", 4)
    assert isinstance(refused.exception, ConfigurationError)
    assert "no validation text of a trainable set" in str(refused.exception)
    assert not (tmp_path / "run").exists()


def test_a_version_trained_on_from_another_lists_the_data_of_both(chain: Chain, tmp_path: Path) -> None:
    version, run = tmp_path / "review" / "7", tmp_path / "run"
    shutil.copytree(chain.run / "served", version)
    rows = [f"{text},{int(bad)}" for text, bad in texts(200, seed=3)]
    (tmp_path / "toy.csv").write_text("\n".join(["text,toxicity", *rows]), encoding="utf-8")
    (tmp_path / "toy.yaml").write_text(_CONFIG, encoding="utf-8")
    where = ("--config", tmp_path / "toy.yaml", "--base", version, "--out", run)
    trained = call("train", "review", *where, "--steps", 2)
    assert trained.exit_code == 0, trained.output
    assert "toy: review version 7 was trained on other files of this name" in trained.output
    assert call("export", "review", "--run", run).exit_code == 0
    record, before = read_record(run / "served"), read_record(version)
    assert record is not None
    assert before is not None
    (ancestor,) = record.ancestors
    assert (ancestor.name, ancestor.data, ancestor.files) == ("review version 7", before.data, before.files)
    assert record.data != before.data


def test_a_commit_says_whether_tracked_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    (tmp_path / "code.py").write_text("1\n")
    git("add", "code.py")
    git("commit", "-qm", "first")
    git("tag", "v1")  # which must not stand in for the hash
    (tmp_path / "untracked").write_text("")
    head = git("rev-parse", "HEAD")
    assert _commit() == head
    (tmp_path / "code.py").write_text("2\n")
    assert _commit() == f"{head}-dirty"
    assert _short(_commit()) == f"{head[:10]}-dirty"


def test_training_says_what_comes_next_and_warns_of_labels_without_texts(chain: Chain) -> None:
    assert chain.trained.exit_code == 0, chain.trained.output
    assert "next: tidegate export review" in chain.trained.output
    assert "spam: no positive text" in chain.trained.output


def test_the_export_has_a_record_of_where_it_is_from(chain: Chain) -> None:
    assert chain.exported.exit_code == 0, chain.exported.output
    record = read_record(chain.run / "served")
    assert record is not None
    assert set(record.files) == set(MODEL_FILES)
    assert record.differing(chain.run / "served") == []
    assert record.seed == 1
    assert record.config["batch"] == 8
    assert record.base["pieces"] > 0
    (source,) = record.data
    assert (source["name"], source["licence"]) == ("toy", "own")
    assert set(source["sha256"]) == {"toy.csv"}
    assert record.metrics is None


def test_the_record_holds_no_text_and_no_folder_of_the_machine(chain: Chain) -> None:
    written = (chain.run / "served" / "version.json").read_text(encoding="utf-8")
    assert "nasty" not in written
    assert str(chain.folder) not in written
    assert '"path": "toy.csv"' in written


def test_the_exported_model_has_learnt_the_difference(chain: Chain) -> None:
    engine = load_engine(chain.run / "served")
    rude, polite = engine.infer(["you are a rude nasty clown shut up", "we meet at ten in front of the library"]).scores
    column = LABELS.index("toxicity")
    assert rude[column] > polite[column] + 0.2


def test_the_sizes_are_printed(chain: Chain) -> None:
    assert "tables.npz" in chain.exported.output
    assert "MB  in" in chain.exported.output


def test_the_exported_version_can_be_promoted(chain: Chain, tmp_path: Path) -> None:
    folder = tmp_path / "review"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text("# serving code\n")
    (folder / "config.pbtxt").write_text(
        f'parameters {{ key: "labels" value {{ string_value: "{",".join(LABELS)}" }} }}\n'
    )
    where = ("--repository", tmp_path, "--run", chain.run, "--offline")
    refused = call("promote", "review", *where)
    assert "run `tidegate evaluate review` first" in refused.output
    assert refused.exit_code == 1
    promoted = call("promote", "review", *where, "--force", "a toy has no figures")
    assert promoted.exit_code == 0, promoted.output
    model = ModelFolder.of(tmp_path, "review")
    assert model.live() == 2
    assert load_engine(model.version_path(2)).labels == LABELS
    record = model.record(2)
    assert isinstance(record, VersionRecord)
    assert record.promotion is not None
    assert record.promotion.forced == "a toy has no figures"


def test_a_damaged_graph_is_found_before_anything_is_copied(chain: Chain, tmp_path: Path) -> None:
    folder, run = tmp_path / "models" / "review", tmp_path / "run"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(
        f'parameters {{ key: "labels" value {{ string_value: "{",".join(LABELS)}" }} }}\n'
    )
    served = run / "served"
    served.mkdir(parents=True)
    for name in MODEL_FILES:
        (served / name).write_bytes((chain.run / "served" / name).read_bytes())
    graph = (served / "model.xml").read_text(encoding="utf-8")
    (served / "model.xml").write_text(graph[: len(graph) // 2], encoding="utf-8")
    record = read_record(chain.run / "served")
    assert record is not None
    content = record.model_dump(mode="json")
    content["files"]["model.xml"] = _entry(served / "model.xml")
    (served / "version.json").write_text(json.dumps(content), encoding="utf-8")
    refused = call("promote", "review", "--repository", tmp_path / "models", "--run", run, "--offline", "--force", "x")
    assert isinstance(refused.exception, ConfigurationError)
    assert "cannot be loaded" in str(refused.exception)
    assert ModelFolder.of(tmp_path / "models", "review").versions() == [1]


def _entry(path: Path) -> dict[str, object]:
    from services.training.versions import fingerprint

    return fingerprint(path).model_dump()


def test_a_run_that_was_not_trained_cannot_be_exported(tmp_path: Path) -> None:
    refused = call("export", "review", "--run", tmp_path)
    assert "run `tidegate train` first" in str(refused.exception)


def test_another_model_is_refused_with_those_that_are_known() -> None:
    for command in (("export", "sales"), ("promote", "sales"), ("explain", "sales", "text"), ("train", "sales")):
        assert "known: review" in str(call(*command).exception)


@pytest.mark.parametrize("options", [("--steps", "0"), ("--minutes", "0"), ("--minutes", "-1")])
def test_a_training_without_an_end_is_refused(options: tuple[str, str]) -> None:
    refused = call("train", "review", *options)
    assert refused.exit_code == 2
    assert "should be greater than or equal to" in " ".join(refused.output.split())


def test_one_fold_is_refused() -> None:
    assert "--folds 1" in str(call("train", "review", "--folds", 1).exception)
