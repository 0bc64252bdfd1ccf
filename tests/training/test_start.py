"""What training starts from: a served version gives back what it serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from services.errors import ConfigurationError
from services.serving import MODEL_FILES, EngineSettings, load_engine
from services.training.ancestry import START_FILE, name_of
from services.training.calibration import Calibration
from services.training.data.labels import LABELS
from services.training.export import export_model
from services.training.network import load_classifier, save_classifier
from services.training.predict import predict_torch
from services.training.start import check_keeps, keep_of_start, prepare_start
from tests.training.tiny import classifier, texts

pytestmark = [
    pytest.mark.timeout(900),
    # OpenVINO traces torch models by a way that torch has begun to leave.
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
]


def sample(count: int) -> list[str]:
    return [text for text, _ in texts(count, seed=9)]


@pytest.fixture(scope="module")
def version(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated model with a head of some size, exported, in a folder like a served one."""
    folder = tmp_path_factory.mktemp("start")
    model, tokenizer = classifier(base)
    model.head.weight.data *= 20
    save_classifier(model, tokenizer, folder / "model")
    calibration = Calibration.identity(LABELS)
    calibration.slopes[:], calibration.offsets[:] = 0.5, np.linspace(-2, 2, len(LABELS))
    calibration.save(folder / "model")
    export_model(folder / "model", folder / "toy" / "7", sample(20))
    return folder / "toy" / "7"


def test_a_served_version_is_restored_with_all_that_it_computes(version: Path, tmp_path: Path) -> None:
    folder = prepare_start(str(version), tmp_path / "base", ["not looked at"])
    model, tokenizer = load_classifier(folder)
    found = 1 / (1 + np.exp(-predict_torch(model, tokenizer, sample(40), bf16=False)))
    served = load_engine(version, EngineSettings(widths=(32, 64, 128), precision="f32")).infer(sample(40)).scores
    assert served.max() - served.min() > 0.5  # else agreeing would mean nothing
    assert np.abs(found - served).max() < 2e-3


def test_a_model_that_is_there_already_is_not_made_again(version: Path, tmp_path: Path) -> None:
    folder = prepare_start(str(version), tmp_path / "base", [])
    (folder / "head.safetensors").write_bytes(b"trained meanwhile")
    assert prepare_start(str(version), tmp_path / "base", []) == folder
    assert (folder / "head.safetensors").read_bytes() == b"trained meanwhile"


def test_a_run_that_began_with_one_model_refuses_to_go_on_with_another(
    version: Path, base: Path, tmp_path: Path
) -> None:
    prepare_start(str(version), tmp_path / "run" / "base", [])
    with pytest.raises(
        ConfigurationError,
        match=rf"started from toy version 7, and is now to start from {base.name}: use another --out",
    ):
        prepare_start(str(base), tmp_path / "run" / "base", ["a text"])


def test_a_version_whose_files_changed_is_another_start(version: Path, tmp_path: Path) -> None:
    copy = tmp_path / "toy" / "7"
    shutil.copytree(version, copy)
    prepare_start(str(copy), tmp_path / "run" / "base", [])
    prepare_start(str(version), tmp_path / "run" / "base", [])  # the same files elsewhere are the same start
    (copy / "tables.npz").write_bytes((copy / "tables.npz").read_bytes() + b"more")
    with pytest.raises(ConfigurationError, match="toy version 7, whose files have changed since: use another --out"):
        prepare_start(str(copy), tmp_path / "run" / "base", [])


def test_a_base_prepared_before_starts_were_kept_is_taken_as_it_is(version: Path, base: Path, tmp_path: Path) -> None:
    folder = prepare_start(str(base), tmp_path / "base", ["a text"])
    (folder / START_FILE).unlink()
    assert prepare_start(str(version), tmp_path / "base", []) == folder


def test_what_a_killed_preparation_left_is_not_taken_for_another_base(
    version: Path, base: Path, tmp_path: Path
) -> None:
    shutil.copytree(base, tmp_path / "base.new")
    model, _ = load_classifier(prepare_start(str(version), tmp_path / "base", []))
    assert model.labels == LABELS


def test_the_epsilon_of_the_norms_is_the_one_that_is_served(base: Path, tmp_path: Path) -> None:
    model, tokenizer = classifier(base)
    model.encoder.config.layer_norm_eps = 1e-5
    save_classifier(model, tokenizer, tmp_path / "model")
    served = tmp_path / "toy" / "1"
    export_model(tmp_path / "model", served, sample(20))
    folder = prepare_start(str(served), tmp_path / "base", [])
    assert json.loads((folder / "config.json").read_text())["layer_norm_eps"] == pytest.approx(1e-5, rel=1e-3)


def test_int8_activations_cannot_be_trained_further_and_nothing_is_left(base: Path, tmp_path: Path) -> None:
    model, tokenizer = classifier(base)
    save_classifier(model, tokenizer, tmp_path / "model")
    export_model(tmp_path / "model", tmp_path / "served", sample(20), int8_activations=True)
    with pytest.raises(ConfigurationError, match="Start from the base model"):
        prepare_start(str(tmp_path / "served"), tmp_path / "base", [])
    assert not (tmp_path / "base").exists()


def test_a_version_with_other_labels_is_refused(version: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in MODEL_FILES:
        (other / name).write_bytes((version / name).read_bytes())
    (other / "labels.json").write_text(json.dumps({"labels": ["nice", "not nice"]}))
    with pytest.raises(ConfigurationError, match="other labels"):
        prepare_start(str(other), tmp_path / "base", [])


def test_a_record_names_a_start_without_this_machines_folders(version: Path, base: Path) -> None:
    assert name_of(str(version)) == "toy version 7"
    assert name_of(str(base)) == base.name
    assert name_of("intfloat/multilingual-e5-small") == "intfloat/multilingual-e5-small"


def test_trained_weights_are_averaged_with_the_start(version: Path, tmp_path: Path) -> None:
    folder = prepare_start(str(version), tmp_path / "base", [])
    before = load_classifier(folder)[0].state_dict()
    model, _ = load_classifier(folder)
    with torch.no_grad():
        model.head.weight.add_(4.0)
    keep_of_start(model, folder, 0.25)
    assert torch.allclose(model.head.weight, before["head.weight"] + 3.0, atol=1e-5)
    assert torch.equal(model.head.bias, before["head.bias"])


def test_a_base_model_has_nothing_to_keep(version: Path, base: Path, tmp_path: Path) -> None:
    check_keeps(prepare_start(str(version), tmp_path / "base", []))
    with pytest.raises(ConfigurationError, match="trained already"):
        check_keeps(base)
