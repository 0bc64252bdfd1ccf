from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.review.policy import load_policy
from services.training.evaluation.thresholds import BOUNDS, choose_threshold, choose_thresholds, policy_block

Array = NDArray[np.float64]


def _ramp(size: int = 1000) -> tuple[Array, Array]:
    """Perfectly calibrated scores: as targets they are their own probabilities."""
    scores = np.linspace(0.001, 0.999, size)
    return scores, scores.copy()


def test_the_lowest_score_that_holds_the_precision_is_chosen() -> None:
    scores = np.repeat([0.9, 0.6, 0.4], 20)
    truth = np.repeat([1.0, 1.0, 0.0], 20)
    assert choose_threshold(scores, truth, np.ones(60), 0.9) == pytest.approx(0.6)
    assert choose_threshold(scores, truth, np.ones(60), 0.6) == pytest.approx(0.4)


def test_equal_scores_are_never_cut_apart() -> None:
    scores, truth = np.full(40, 0.5), np.tile([1.0, 0.0], 20)
    # Precision .5 at the only possible cut: the wanted precision stands in for the threshold.
    assert choose_threshold(scores, truth, np.ones(40), 0.8) == pytest.approx(0.8)


def test_a_handful_of_lucky_texts_is_not_believed() -> None:
    scores = np.array([0.99] * 5 + [0.3] * 100)
    truth = np.array([1.0] * 5 + [0.0] * 100)
    assert choose_threshold(scores, truth, np.ones(105), 0.9) == pytest.approx(0.9)


def test_a_text_with_more_weight_moves_the_threshold() -> None:
    scores = np.repeat([0.9, 0.6], 30)
    truth = np.concatenate([np.ones(30), np.tile([1.0, 0.0], 15)])
    light, heavy = (np.where(scores == 0.6, weight, 1.0) for weight in (0.1, 10.0))
    assert choose_threshold(scores, truth, light, 0.9) == pytest.approx(0.6)
    assert choose_threshold(scores, truth, heavy, 0.9) == pytest.approx(0.9)


def test_calibrated_scores_get_rising_thresholds_below_their_precisions() -> None:
    scores, truth = _ramp()
    (choice,) = choose_thresholds(["hate"], scores[:, None], truth[:, None], np.ones((len(scores), 1)), base_rate=None)
    flag, review, block = (choice.thresholds[action] for action in ("flag", "review", "block"))
    assert flag < review < block
    assert (flag, review, block) == pytest.approx((0.4, 0.6, 0.84), abs=0.02)
    assert choice.recalls["flag"] > choice.recalls["review"] > choice.recalls["block"]


@given(st.integers(0, 10_000), st.floats(0.02, 0.9))
def test_thresholds_never_fall_and_stay_in_their_bounds(seed: int, base: float) -> None:
    randomness = np.random.default_rng(seed)
    scores = randomness.random((60, 1))
    targets = (randomness.random((60, 1)) < base).astype(float)
    targets[randomness.random((60, 1)) < 0.2] = np.nan
    (choice,) = choose_thresholds(["hate"], scores, targets, np.ones((60, 1)))
    values = list(choice.thresholds.values())
    assert values == sorted(values)
    assert all(BOUNDS[0] <= value <= BOUNDS[1] for value in values)


def test_a_rarer_label_needs_a_higher_score_for_the_same_precision() -> None:
    scores, truth = _ramp()
    rare, even, frequent = (
        choose_thresholds(["hate"], scores[:, None], truth[:, None], np.ones((1000, 1)), base_rate=rate)[0]
        for rate in (0.1, 0.5, 0.9)
    )
    assert rare.thresholds["flag"] > even.thresholds["flag"] > frequent.thresholds["flag"]


def test_how_often_the_data_has_a_label_does_not_move_its_thresholds() -> None:
    scores, truth = np.repeat([0.9, 0.8, 0.6, 0.4], 30), np.repeat([1.0, 0.0, 1.0, 0.0], 30)
    doubled = np.concatenate([np.arange(120), np.flatnonzero(truth == 1)])
    first, second = (
        choose_thresholds(["hate"], scores[rows, None], truth[rows, None], np.ones((len(rows), 1)))[0].thresholds[
            "flag"
        ]
        for rows in (np.arange(120), doubled)
    )
    assert first == second


def test_a_rare_label_is_flagged_readily_and_blocked_only_at_the_share_it_has() -> None:
    scores = np.linspace(0.001, 0.999, 4000)
    truth = scores**6  # about one in seven, most of it at the top
    rare = truth / 8
    scores, rare = np.concatenate([scores, np.full(200, 0.999)]), np.concatenate([rare, np.ones(200)])
    columns = scores[:, None], rare[:, None], np.ones((len(scores), 1))
    raised, own = (choose_thresholds(["spam"], *columns, base_rate=rate)[0].thresholds for rate in (0.3, None))
    assert raised["flag"] < own["flag"]
    assert raised["block"] == own["block"]


def test_a_person_in_danger_is_never_blocked_and_reaches_review_early() -> None:
    scores, truth = _ramp()
    columns = np.stack([scores, scores], axis=1), np.stack([truth, truth], axis=1)
    harm, hate = choose_thresholds(["self_harm", "hate"], *columns, np.ones((len(scores), 2)))
    assert "block" not in harm.thresholds
    assert harm.thresholds["review"] < hate.thresholds["review"]


def test_the_printed_block_is_a_policy(tmp_path: Path) -> None:
    scores, truth = _ramp()
    block = policy_block(
        choose_thresholds(
            ["violence"], scores[:, None], truth[:, None], np.ones((len(scores), 1)), frozenset({"violence"})
        )
    )
    path = tmp_path / "policy.yaml"
    path.write_text("id: proposed\n" + block, encoding="utf-8")
    assert load_policy(path).id == "proposed"
    assert yaml.safe_load(block)["labels"]["violence"]["critical"] is True
