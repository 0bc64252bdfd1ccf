from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn")

from services.training.calibration import Calibration
from services.training.evaluation.metrics import auroc, ece

Array = NDArray[np.float64]


def _overconfident(size: int = 4000) -> tuple[Array, Array]:
    """Logits three times too large, and shifted."""
    randomness = np.random.default_rng(5)
    true = randomness.normal(-1, 1.5, size)
    targets = (randomness.random(size) < 1 / (1 + np.exp(-true))).astype(float)
    return (3 * true + 2)[:, None], targets[:, None]


def _probabilities(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits)))


def test_calibrated_scores_mean_what_they_say() -> None:
    logits, targets = _overconfident()
    fitted = Calibration.fit(["hate"], logits, targets)
    before, after = (ece(_probabilities(x)[:, 0], targets[:, 0]) for x in (logits, fitted.apply(logits)))
    assert after < 0.03 < before


def test_calibration_never_changes_the_order_of_texts() -> None:
    logits, targets = _overconfident()
    fitted = Calibration.fit(["hate"], logits, targets)
    assert (fitted.slopes > 0).all()
    assert auroc(fitted.apply(logits)[:, 0], targets[:, 0]) == pytest.approx(auroc(logits[:, 0], targets[:, 0]))


def test_a_label_that_falls_with_its_logit_is_left_alone() -> None:
    logits, targets = _overconfident()
    fitted = Calibration.fit(["hate"], -logits, targets)
    assert (fitted.slopes[0], fitted.offsets[0]) == (1, 0)


def test_a_label_with_too_few_texts_of_a_side_is_left_alone() -> None:
    fitted = Calibration.fit(["hate"], np.zeros((100, 1)), np.array([[1.0]] * 10 + [[0.0]] * 90))
    assert (fitted.slopes[0], fitted.offsets[0]) == (1, 0)


def test_a_soft_target_counts_by_its_share() -> None:
    logits = np.tile([[-1.0], [1.0]], (200, 1))
    targets = np.tile([[0.1], [0.8]], (200, 1))
    scores = _probabilities(Calibration.fit(["hate"], logits, targets).apply(np.array([[-1.0], [1.0]])))
    assert scores[:, 0] == pytest.approx([0.1, 0.8], abs=0.01)


def test_heavier_texts_decide_where_sources_disagree() -> None:
    logits = np.tile([[-1.0], [1.0]], (200, 1))
    first, second = np.tile([[0.0], [1.0]], (100, 1)), np.tile([[0.0], [0.0]], (100, 1))
    targets = np.concatenate([first, second])
    second_heavy = np.concatenate([np.full((200, 1), 0.1), np.full((200, 1), 1.9)])
    even, heavy = (
        _probabilities(Calibration.fit(["hate"], logits, targets, weights).apply(np.array([[1.0]])))[0, 0]
        for weights in (None, second_heavy)
    )
    assert heavy < even


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    logits, targets = _overconfident()
    fitted = Calibration.fit(["hate"], logits, targets)
    fitted.save(tmp_path)
    assert Calibration.load(tmp_path, ["hate"]).slopes == pytest.approx(fitted.slopes)
    assert Calibration.load(tmp_path, ["other"]).slopes == pytest.approx([1.0])
