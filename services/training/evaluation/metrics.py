"""Quality figures of a binary label, each with a bootstrap interval. Targets may be soft and may be missing (NaN).

AUROC and average precision are scikit-learn's; the expected calibration error is Naeini et al. (2015) with ten bins of equal
width; intervals are the 2.5th and 97.5th percentile of resampled texts. A figure that cannot be computed is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Figure",
    "accuracy",
    "auprc",
    "auroc",
    "ece",
    "f1",
    "figure",
    "macro_f1",
    "threshold_for_precision",
    "weighted_f1",
]

Array = NDArray[np.float64]
Metric = Callable[[Array, Array], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its 95 % interval, and how many texts of each side it rests on."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int


def known(scores: Array, targets: Array) -> tuple[Array, Array]:
    """Without the texts whose target is unknown; targets as 0 and 1."""
    mask = ~np.isnan(targets)
    return scores[mask], (targets[mask] >= 0.5).astype(float)


def auroc(scores: Array, targets: Array) -> float:
    """Area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    scores, truth = known(scores, targets)
    return float(roc_auc_score(truth, scores)) if 0 < truth.sum() < len(truth) else float("nan")


def auprc(scores: Array, targets: Array) -> float:
    """Average precision."""
    from sklearn.metrics import average_precision_score

    scores, truth = known(scores, targets)
    return float(average_precision_score(truth, scores)) if 0 < truth.sum() < len(truth) else float("nan")


def ece(scores: Array, targets: Array) -> float:
    """Expected calibration error over ten bins of equal width."""
    scores, truth = known(scores, targets)
    if not len(scores):
        return float("nan")
    bins = np.minimum((scores * 10).astype(int), 9)
    error = 0.0
    for bin_ in range(10):
        inside = bins == bin_
        if inside.any():
            error += inside.mean() * abs(scores[inside].mean() - truth[inside].mean())
    return float(error)


def _counts(scores: Array, targets: Array, threshold: float) -> tuple[float, float, float, float]:
    scores, truth = known(scores, targets)
    said = scores >= threshold
    return (
        float((said & (truth == 1)).sum()),
        float((said & (truth == 0)).sum()),
        float((~said & (truth == 1)).sum()),
        float((~said & (truth == 0)).sum()),
    )


def f1(scores: Array, targets: Array, threshold: float = 0.5) -> float:
    """F1 of the positive side."""
    tp, fp, fn, _ = _counts(scores, targets, threshold)
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")


def accuracy(scores: Array, targets: Array, threshold: float = 0.5) -> float:
    """Share of texts judged right."""
    tp, fp, fn, tn = _counts(scores, targets, threshold)
    return (tp + tn) / (tp + fp + fn + tn) if tp + fp + fn + tn else float("nan")


def macro_f1(scores: Array, targets: Array, threshold: float = 0.5) -> float:
    """Mean of the F1 of both sides."""
    tp, fp, fn, tn = _counts(scores, targets, threshold)
    if not tp + fp + fn + tn:
        return float("nan")
    positive = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0
    negative = 2 * tn / (2 * tn + fp + fn) if tn + fp + fn else 0.0
    return (positive + negative) / 2


def weighted_f1(scores: Array, targets: Array, threshold: float = 0.5) -> float:
    """F1 of both sides, weighted by their sizes."""
    tp, fp, fn, tn = _counts(scores, targets, threshold)
    total = tp + fp + fn + tn
    if not total:
        return float("nan")
    positive = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0
    negative = 2 * tn / (2 * tn + fp + fn) if tn + fp + fn else 0.0
    return (positive * (tp + fn) + negative * (tn + fp)) / total


def figure(metric: Metric, scores: Array, targets: Array, *, rounds: int = 300, seed: int = 1) -> Figure:
    """The metric with a bootstrap interval."""
    scores, truth = known(scores, targets)
    positives = int(truth.sum())
    value = metric(scores, truth) if len(truth) else float("nan")
    randomness = np.random.default_rng(seed)
    draws = []
    for _ in range(rounds if len(truth) else 0):
        chosen = randomness.integers(0, len(truth), len(truth))
        draws.append(metric(scores[chosen], truth[chosen]))
    clean = [d for d in draws if not np.isnan(d)]
    low, high = np.percentile(clean, [2.5, 97.5]) if clean else (float("nan"), float("nan"))
    return Figure(value, float(low), float(high), positives, len(truth) - positives)


def threshold_for_precision(scores: Array, targets: Array, precision: float) -> float | None:
    """The lowest score from which on at least this share of the texts is positive; None when none has it."""
    scores, truth = known(scores, targets)
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    share = hits / np.arange(1, len(truth) + 1)
    good = np.flatnonzero(share >= precision)
    return float(scores[order][good[-1]]) if len(good) else None
