"""The training loop: what an interruption, a full disk and missing labels do to a run."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from services.errors import ConfigurationError
from services.training.board import Board
from services.training.data.dataset import Item
from services.training.fit import FitResult, FitSettings, fit, masked_loss
from tests.training.tiny import classifier, items

pytestmark = pytest.mark.timeout(600)

_ROOT = Path(__file__).resolve().parents[2]
_SETTINGS = FitSettings(batch=4, width=32, steps=8, threads=1, checkpoint_s=0.0)

Weights = dict[str, torch.Tensor]


def trained(
    base: Path, run: Path, settings: FitSettings = _SETTINGS, texts: list[Item] | None = None
) -> tuple[Weights, FitResult]:
    """Train, or go on training, in `run`."""
    model, tokenizer = classifier(base)
    result = fit(model, tokenizer, items(40) if texts is None else texts, run, settings)
    return {name: value.clone() for name, value in model.state_dict().items()}, result


def equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def uninterrupted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Weights after all steps in one go."""
    return trained(base, tmp_path_factory.mktemp("whole"))[0]


def test_training_changes_the_weights_but_not_the_word_embeddings(base: Path, uninterrupted: Weights) -> None:
    before = classifier(base)[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], uninterrupted[name])}
    assert "head.weight" in changed
    assert any(name.startswith("encoder.encoder.layer.0") for name in changed)
    assert "encoder.embeddings.word_embeddings.weight" not in changed


def test_two_runs_with_one_seed_give_the_same_weights(base: Path, tmp_path: Path, uninterrupted: Weights) -> None:
    assert equal(trained(base, tmp_path)[0], uninterrupted)


_STOPPED = """
import os, pathlib, signal, sys
from services.training import fit
from tests.training.test_fit import trained

step = fit._Run._one_step

def stopped(self, indexes, share):
    if self.step == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, indexes, share)

fit._Run._one_step = stopped
result = trained(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))[1]
print(result.finished, result.steps)
"""

_KILLED = """
import os, pathlib, signal, sys, torch
from tests.training.test_fit import trained

save, count = torch.save, 0

def killed(state, path):
    global count
    count += 1
    save(state, path)
    if count == 4:  # the file is there, half of it
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

torch.save = killed
trained(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""


def in_a_process(script: str, base: Path, run: Path) -> subprocess.CompletedProcess[str]:
    """Run the script where a signal hits nobody else."""
    command = [sys.executable, "-c", script, str(base), str(run)]
    return subprocess.run(command, check=False, cwd=_ROOT, capture_output=True, text=True, timeout=300)


def test_a_run_stopped_by_sigterm_resumes_to_the_weights_of_an_uninterrupted_one(
    base: Path, tmp_path: Path, uninterrupted: Weights
) -> None:
    stopped = in_a_process(_STOPPED, base, tmp_path)
    assert stopped.returncode == 0, stopped.stderr[-500:]
    assert stopped.stdout.splitlines()[-1] == "False 4"
    weights, result = trained(base, tmp_path)
    assert (result.finished, result.steps) == (True, 8)
    assert equal(weights, uninterrupted)


def test_a_run_killed_while_it_writes_a_checkpoint_resumes_from_the_one_before(
    base: Path, tmp_path: Path, uninterrupted: Weights
) -> None:
    killed = in_a_process(_KILLED, base, tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-500:]
    whole = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert whole["step"] == 3
    weights, result = trained(base, tmp_path)
    assert result.finished
    assert equal(weights, uninterrupted)


def test_a_finished_run_does_nothing_more(base: Path, tmp_path: Path) -> None:
    first, _ = trained(base, tmp_path)
    again, result = trained(base, tmp_path)
    assert result.steps == 8
    assert equal(first, again)


def test_a_checkpoint_of_other_settings_is_refused_and_says_which(base: Path, tmp_path: Path) -> None:
    trained(base, tmp_path)
    other = FitSettings(batch=4, width=32, steps=9, threads=1, learning_rate=1e-3)
    with pytest.raises(ConfigurationError, match=r"other settings or data \(learning_rate, steps\)"):
        trained(base, tmp_path, other)


def test_a_checkpoint_of_other_labels_texts_or_weights_is_refused_and_says_which(base: Path, tmp_path: Path) -> None:
    trained(base, tmp_path)
    flipped = [replace(item, targets=tuple(1 - target for target in item.targets)) for item in items(40)]
    with pytest.raises(
        ConfigurationError, match=r"\(the training texts or their labels\): remove it or use another --out"
    ):
        trained(base, tmp_path, texts=flipped)
    with pytest.raises(ConfigurationError, match=r"\(the training texts or their labels\)"):
        trained(base, tmp_path, texts=items(40, seed=2))
    model, tokenizer = classifier(base)
    model.encoder.embeddings.LayerNorm.weight.data += 0.1
    with pytest.raises(ConfigurationError, match=r"\(the model to start from\)"):
        fit(model, tokenizer, items(40), tmp_path, _SETTINGS)


def test_a_checkpoint_from_before_there_were_digests_is_continued_and_said_to_be_so(
    base: Path, tmp_path: Path, uninterrupted: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_a_process(_STOPPED, base, tmp_path).returncode == 0
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del state["identity"]["content"], state["identity"]["start"]
    torch.save(state, tmp_path / "checkpoint.pt")
    assert equal(trained(base, tmp_path)[0], uninterrupted)
    assert "is of an earlier Tidegate" in " ".join(capsys.readouterr().err.split())


_NO_ROOM = """
import pathlib, resource, sys
from tests.training.test_fit import _SETTINGS, replace, trained

resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))  # the file system refuses every byte beyond
result = trained(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), replace(_SETTINGS, steps=40, checkpoint_s=1e9))[1]
print(result.finished, result.steps)
"""


def test_a_disk_without_room_for_the_curves_does_not_end_the_run(base: Path, tmp_path: Path) -> None:
    done = in_a_process(_NO_ROOM, base, tmp_path)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.splitlines()[-1] == "True 40"
    assert done.stderr.count("TensorBoard's file in") == 1
    assert "Traceback" not in done.stderr


def test_tensorboard_reads_the_curves(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        board.add(10, {"train/loss": 0.5, "train/gradient_norm": 2.0})
        board.add(20, {"train/loss": 0.25})
    (file,) = tmp_path.iterdir()
    points = [
        (e.step, v.tag, v.tensor.float_val[0]) for e in EventFileLoader(str(file)).Load() for v in e.summary.value
    ]
    assert points == [(10, "train/loss", 0.5), (10, "train/gradient_norm", 2.0), (20, "train/loss", 0.25)]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("write failed")])
def test_a_full_disk_keeps_the_last_whole_checkpoint_and_the_run_goes_on(
    base: Path, tmp_path: Path, uninterrupted: Weights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:  # fmt: skip
    save, count = torch.save, 0

    def full(state: Any, path: Path) -> None:
        nonlocal count
        count += 1
        if count > 2:
            path.write_bytes(b"half")
            raise error
        save(state, path)

    monkeypatch.setattr(torch, "save", full)
    weights, result = trained(base, tmp_path)
    assert result.finished
    assert equal(weights, uninterrupted)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2
    assert not (tmp_path / "checkpoint.part").exists()
    assert "is the disk full?" in capsys.readouterr().err


def test_one_text_is_enough_to_train_on(base: Path, tmp_path: Path) -> None:
    _, result = trained(base, tmp_path, FitSettings(batch=32, width=32, steps=3, threads=1), items(1))
    assert result.finished
    assert math.isfinite(result.last_loss)


def test_a_text_without_any_known_label_does_not_make_the_loss_nan(base: Path, tmp_path: Path) -> None:
    unknown = Item("nobody knows", tuple(float("nan") for _ in items(1)[0].targets), "toy", "en")
    weights, result = trained(base, tmp_path, FitSettings(batch=2, width=32, steps=2, threads=1), [unknown, unknown])
    assert math.isfinite(result.last_loss)
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())


def test_no_text_and_no_end_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no training text left"):
        trained(base, tmp_path, texts=[])
    with pytest.raises(ConfigurationError, match="give --steps or --minutes"):
        trained(base, tmp_path, FitSettings())


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.3, 1.0, math.nan]), min_size=3, max_size=3), min_size=1, max_size=6),
    st.floats(-20, 20),
)
def test_a_missing_label_is_never_taken_for_a_negative_one(targets: list[list[float]], logit: float) -> None:
    wanted = torch.tensor(targets)
    missing = torch.isnan(wanted)
    one = torch.full_like(wanted, 0.7).requires_grad_()
    other = torch.where(missing, torch.tensor(logit), torch.tensor(0.7))
    loss = masked_loss(one, wanted)
    loss.backward()
    assert torch.isfinite(loss)
    assert one.grad is not None
    assert bool((one.grad[missing] == 0).all())
    assert torch.equal(loss.detach(), masked_loss(other, wanted))


def test_the_loss_is_the_mean_over_what_is_known() -> None:
    logits, targets = torch.tensor([[0.0, 5.0]]), torch.tensor([[1.0, math.nan]])
    assert float(masked_loss(logits, targets)) == pytest.approx(math.log(2))
