from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.training.evaluation.metrics import (
    accuracy,
    auprc,
    auroc,
    bootstrap,
    class_accuracy,
    class_macro_f1,
    class_weighted_f1,
    clustered_share,
    ece,
    f1,
    f1_at,
    figure,
    mean,
    share,
)

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.2])
TARGETS = np.array([1.0, 0.0, 1.0, 0.0, 0.0])


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Of 2 x 3 pairs one is wrong: 0.7 (positive) below 0.8 (negative).
    assert auroc(SCORES, TARGETS) == pytest.approx(5 / 6)


def test_auroc_counts_a_tie_half() -> None:
    assert auroc(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == pytest.approx(0.5)


def test_average_precision_by_hand() -> None:
    # The positives come first and third: precision 1/1 and 2/3.
    assert auprc(SCORES, TARGETS) == pytest.approx((1 + 2 / 3) / 2)


def test_a_text_whose_target_is_unknown_does_not_count() -> None:
    scores, targets = np.append(SCORES, 0.99), np.append(TARGETS, np.nan)
    assert auroc(scores, targets) == auroc(SCORES, TARGETS)
    assert ece(scores, targets) == ece(SCORES, TARGETS)


def test_without_one_of_the_sides_there_is_no_auroc() -> None:
    assert math.isnan(auroc(SCORES, np.ones(5)))
    assert math.isnan(auprc(SCORES, np.zeros(5)))
    assert math.isnan(auroc(np.zeros(0), np.zeros(0)))


def test_calibration_error_by_hand() -> None:
    # One bin at 0.9 with three of four positive, one at 0.1 with none of four.
    scores = np.array([0.9] * 4 + [0.1] * 4)
    targets = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert ece(scores, targets) == pytest.approx(0.5 * 0.15 + 0.5 * 0.1)


def test_a_score_of_one_belongs_to_the_last_bin() -> None:
    assert ece(np.array([1.0]), np.array([1.0])) == pytest.approx(0.0)


def test_f1_and_accuracy_by_hand() -> None:
    assert f1(SCORES, TARGETS, 0.7) == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert f1_at(0.7)(SCORES, TARGETS) == f1(SCORES, TARGETS, 0.7)
    assert accuracy(SCORES, TARGETS, 0.7) == pytest.approx(0.8)
    assert f1(SCORES, TARGETS, 0.95) == pytest.approx(0.0)


def test_figures_of_three_classes_by_hand() -> None:
    truth = np.array([0, 0, 1, 1, 1, 2])
    said = np.array([0, 1, 1, 1, 0, 2])
    # F1: class 0 is 2*1/(2+2), class 1 is 2*2/(3+3), class 2 is 1.
    assert class_accuracy(said, truth) == pytest.approx(4 / 6)
    assert class_macro_f1(said, truth) == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert class_weighted_f1(said, truth) == pytest.approx((2 * 1 / 2 + 3 * 2 / 3 + 1) / 6)


def test_a_class_that_never_occurs_is_left_out_of_the_mean() -> None:
    assert class_macro_f1(np.array([0, 2]), np.array([0, 2])) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.9]), st.booleans()), min_size=4, max_size=40))
def test_figures_equal_those_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores, truth = np.array([s for s, _ in rows]), np.array([float(t) for _, t in rows])
    if not 0 < truth.sum() < len(truth):
        return
    assert auroc(scores, truth) == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert auprc(scores, truth) == pytest.approx(metrics.average_precision_score(truth, scores))
    said, classes = (scores >= 0.5).astype(int), truth.astype(int)
    assert class_macro_f1(said, classes) == pytest.approx(metrics.f1_score(classes, said, average="macro"))
    assert class_weighted_f1(said, classes) == pytest.approx(metrics.f1_score(classes, said, average="weighted"))


def test_an_interval_holds_the_value_and_the_same_seed_gives_the_same_one() -> None:
    randomness = np.random.default_rng(3)
    truth = (randomness.random(300) < 0.4).astype(float)
    scores = np.clip(truth * 0.3 + randomness.random(300) * 0.7, 0, 1)
    found = figure(auroc, scores, truth, rounds=100)
    assert found.low < found.value < found.high
    assert found == figure(auroc, scores, truth, rounds=100)
    assert (found.positives, found.negatives) == (int(truth.sum()), 300 - int(truth.sum()))


def test_more_texts_give_a_narrower_interval() -> None:
    few, many = (bootstrap(mean, np.tile([0.0, 1.0], n), rounds=200) for n in (10, 1000))
    assert many.high - many.low < few.high - few.low


def test_the_interval_of_a_clustered_share_counts_clusters_and_not_texts() -> None:
    passed, clusters = np.repeat([True, False, True, True], 50), list(np.repeat(["a", "b", "c", "d"], 50))
    found, single = clustered_share(passed, clusters), share(passed)
    assert (found.value, found.positives, found.negatives) == (single.value, single.positives, single.negatives)
    assert found.high - found.low > 4 * (single.high - single.low)


def test_clusters_of_one_text_each_are_a_plain_share() -> None:
    passed = np.arange(40) % 3 == 0
    assert clustered_share(passed, [f"{n:02}" for n in range(40)]) == share(passed)


def test_a_share_counts_both_sides() -> None:
    found = share(np.array([True, True, False, True]))
    assert (found.value, found.positives, found.negatives) == (0.75, 3, 1)


def test_a_figure_of_nothing_is_not_a_number() -> None:
    assert math.isnan(figure(auroc, np.zeros(0), np.zeros(0)).value)
    assert math.isnan(share(np.zeros(0, dtype=bool)).value)
