"""What training starts from: a served version gives back what it serves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from services.errors import ConfigurationError
from services.serving import MODEL_FILES, EngineSettings, load_engine
from services.training.calibration import Calibration
from services.training.data.labels import LABELS
from services.training.export import export_model
from services.training.network import load_classifier, save_classifier
from services.training.predict import predict_torch
from services.training.start import name_of, prepare_start
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
