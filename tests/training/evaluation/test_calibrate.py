from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from services.errors import ConfigurationError
from services.review.policy import load_policy
from services.training.calibrate import THRESHOLDS_FILE, calibrate
from services.training.calibration import CALIBRATION_FILE, Calibration
from services.training.data.dataset import Dataset, Item, SourceManifest
from services.training.data.labels import LABELS
from services.training.network import save_classifier
from tests.training.tiny import classifier, items, write_base

DATA = Dataset([], items(200), [], [])
TOXICITY = LABELS.index("toxicity")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    model, tokenizer = classifier(write_base(tmp_path / "base"))
    save_classifier(model, tokenizer, tmp_path / "run" / "model")
    return tmp_path / "run"


def test_a_run_gets_its_calibration_and_a_proposal_for_the_policy(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(run, DATA)
    fitted = Calibration.load(run / "model", LABELS)
    assert (fitted.slopes > 0).all()
    assert fitted.slopes[TOXICITY] != 1.0
    assert np.delete(fitted.slopes, TOXICITY) == pytest.approx(1.0)  # nothing is known of the other labels
    proposal = (run / THRESHOLDS_FILE).read_text(encoding="utf-8")
    assert proposal in capsys.readouterr().out
    path = run / "policy.yaml"
    path.write_text("id: proposed\n" + proposal, encoding="utf-8")
    load_policy(path)


def test_calibrating_again_changes_nothing(run: Path) -> None:
    calibrate(run, DATA)
    before = [(run / name).read_bytes() for name in (f"model/{CALIBRATION_FILE}", THRESHOLDS_FILE)]
    calibrate(run, DATA)
    assert [(run / name).read_bytes() for name in (f"model/{CALIBRATION_FILE}", THRESHOLDS_FILE)] == before


def test_other_texts_are_scored_anew(run: Path) -> None:
    calibrate(run, DATA)
    first = Calibration.load(run / "model", LABELS).offsets[TOXICITY]
    calibrate(run, Dataset([], items(200, seed=9)[:120], [], []))
    assert Calibration.load(run / "model", LABELS).offsets[TOXICITY] != first


def test_texts_that_may_not_be_trained_on_shape_no_weight(run: Path) -> None:
    calibrate(run, DATA)
    before = (run / "model" / CALIBRATION_FILE).read_bytes()
    # The same texts judged the other way round: they would turn every slope.
    barred = [Item(i.text, tuple(1 - t for t in i.targets), "barred", i.language) for i in DATA.valid]
    entry = SourceManifest("barred", "en", "NC", False, "hash", {}, 0, 1, 0, 200, 0, 0, 0, {}, {})  # noqa: FBT003
    calibrate(run, Dataset([], [*DATA.valid, *barred], [], [entry]))
    assert (run / "model" / CALIBRATION_FILE).read_bytes() == before
    with pytest.raises(ConfigurationError, match="validation texts of a trainable set"):
        calibrate(run, Dataset([], barred, [], [entry]))


def test_a_run_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tidegate train"):
        calibrate(tmp_path, DATA)


def test_without_validation_texts_nothing_is_calibrated(run: Path) -> None:
    with pytest.raises(ConfigurationError, match="validation"):
        calibrate(run, Dataset([], [], [], []))
