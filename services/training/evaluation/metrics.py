"""Quality figures, each with a bootstrap interval. Targets of a binary label may be soft and may be missing (NaN).

AUROC counts ties half; AUPRC is average precision; the expected calibration error is Naeini et al. (2015) with ten bins of equal
width; intervals are the 2.5th and 97.5th percentile over resampled texts. A figure that cannot be computed is NaN, never 0.
They are written in numpy because a bootstrap calls them thousands of times; tests hold them to scikit-learn's. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Figure",
    "accuracy",
    "auprc",
    "auroc",
    "bootstrap",
    "class_accuracy",
    "class_macro_f1",
    "class_weighted_f1",
    "clustered_share",
    "ece",
    "f1",
    "f1_at",
    "figure",
    "mean",
    "share",
]

Array = NDArray[np.float64]
Classes = NDArray[np.int64]
Metric = Callable[[Array, Array], float]

ROUNDS = 300


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its 95 % interval, and how many texts of each side it rests on (all in `negatives` where sides do not apply)."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int


def known(scores: Array, targets: Array) -> tuple[Array, Array]:
    """Without the texts whose target is unknown; targets as 0 and 1."""
    mask = ~np.isnan(targets)
    return scores[mask], (targets[mask] >= 0.5).astype(float)


def _groups(scores: Array, targets: Array) -> tuple[Array, Array]:
    """Positives and negatives at each distinct score, from the lowest up."""
    scores, truth = known(scores, targets)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    positives: Array = np.bincount(inverse, weights=truth, minlength=len(counts)).astype(float)
    negatives: Array = counts.astype(float) - positives
    return positives, negatives


def auroc(scores: Array, targets: Array) -> float:
    """Area under the ROC curve: the chance that a positive text scores above a negative one."""
    positives, negatives = _groups(scores, targets)
    pairs = positives.sum() * negatives.sum()
    if not pairs:
        return float("nan")
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / pairs)


def auprc(scores: Array, targets: Array) -> float:
    """Average precision."""
    positives, negatives = _groups(scores, targets)
    if not positives.sum() * negatives.sum():
        return float("nan")
    hits = np.cumsum(positives[::-1])
    total = np.cumsum((positives + negatives)[::-1])
    return float((positives[::-1] * hits / total).sum() / hits[-1])


def ece(scores: Array, targets: Array) -> float:
    """Expected calibration error over ten bins of equal width."""
    scores, truth = known(scores, targets)
    if not len(scores):
        return float("nan")
    bins = np.minimum((scores * 10).astype(int), 9)
    gaps = np.abs(np.bincount(bins, scores, 10) - np.bincount(bins, truth, 10))
    return float(gaps.sum() / len(scores))


def f1(scores: Array, targets: Array, threshold: float = 0.5) -> float:
    """F1 of the positive side."""
    scores, truth = known(scores, targets)
    said = scores >= threshold
    hits, wrong = float((said * truth).sum()), float((said != (truth == 1)).sum())
    return 2 * hits / (2 * hits + wrong) if hits + wrong else float("nan")


def accuracy(scores: Array, targets: Array, threshold: float = 0.5) -> float:
    """Share of texts judged right."""
    scores, truth = known(scores, targets)
    return float(((scores >= threshold) == (truth == 1)).mean()) if len(truth) else float("nan")


def _class_f1(said: Classes, truth: Classes) -> tuple[Array, Array]:
    """F1 of each class that occurs in `truth` or `said`, and how often it is true."""
    classes = int(max(said.max(initial=0), truth.max(initial=0))) + 1
    counts = np.bincount(truth * classes + said, minlength=classes * classes).reshape(classes, classes)
    both = counts.sum(axis=0) + counts.sum(axis=1)
    seen = both > 0
    return 2 * np.diag(counts)[seen] / both[seen], counts.sum(axis=1)[seen].astype(float)


def class_accuracy(said: Classes, truth: Classes) -> float:
    """Share of texts put into the right class. Both are class numbers from 0, shape (n,)."""
    return float((said == truth).mean()) if len(truth) else float("nan")


def class_macro_f1(said: Classes, truth: Classes) -> float:
    """Mean of the classes' F1."""
    return float(_class_f1(said, truth)[0].mean()) if len(truth) else float("nan")


def class_weighted_f1(said: Classes, truth: Classes) -> float:
    """Mean of the classes' F1, weighted by how often each class is true."""
    if not len(truth):
        return float("nan")
    scores, sizes = _class_f1(said, truth)
    return float((scores * sizes).sum() / sizes.sum())


def mean(values: Array) -> float:
    """Arithmetic mean."""
    return float(values.mean()) if len(values) else float("nan")


def bootstrap(
    metric: Callable[..., float], *columns: NDArray[np.float64] | NDArray[np.int64], rounds: int = ROUNDS, seed: int = 1
) -> Figure:
    """The metric of the columns (each of shape (n,)), with the interval that resampling their rows gives."""
    size = len(columns[0])
    value = metric(*columns) if size else float("nan")
    randomness = np.random.default_rng(seed)
    draws = []
    for _ in range(rounds if size else 0):
        chosen = randomness.integers(0, size, size)
        draws.append(metric(*(column[chosen] for column in columns)))
    clean = [draw for draw in draws if not np.isnan(draw)]
    low, high = np.percentile(clean, [2.5, 97.5]) if clean else (float("nan"), float("nan"))
    return Figure(value, float(low), float(high), 0, size)


def figure(metric: Metric, scores: Array, targets: Array, *, rounds: int = ROUNDS, seed: int = 1) -> Figure:
    """A metric of a binary label with its interval, over the texts whose target is known."""
    scores, truth = known(scores, targets)
    found = bootstrap(metric, scores, truth, rounds=rounds, seed=seed)
    positives = int(truth.sum())
    return Figure(found.value, found.low, found.high, positives, len(truth) - positives)


def share(passed: NDArray[np.bool_], *, rounds: int = ROUNDS, seed: int = 1) -> Figure:
    """How many of the texts passed, as a share; `positives` counts them."""
    found = bootstrap(mean, passed.astype(float), rounds=rounds, seed=seed)
    return Figure(found.value, found.low, found.high, int(passed.sum()), int((~passed).sum()))


def clustered_share(
    passed: NDArray[np.bool_], clusters: Sequence[str], *, rounds: int = ROUNDS, seed: int = 1
) -> Figure:
    """As `share`, for texts that come in clusters and resemble each other there: the interval resamples whole clusters.

    The cluster bootstrap of Davison and Hinkley (1997), 3.8; resampling single texts would count one cluster's luck many times.
    """
    _, places = np.unique(np.asarray(clusters), return_inverse=True)
    hits = np.bincount(places, weights=passed.astype(float))

    def pooled(hits: Array, sizes: Array) -> float:
        return float(hits.sum() / sizes.sum())

    found = bootstrap(pooled, hits, np.bincount(places).astype(float), rounds=rounds, seed=seed)
    return Figure(mean(passed.astype(float)), found.low, found.high, int(passed.sum()), int((~passed).sum()))


def f1_at(threshold: float) -> Metric:
    """F1 of the positive side at this threshold, as a metric of scores and targets."""
    return partial(f1, threshold=threshold)
