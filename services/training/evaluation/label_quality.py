"""Part 1: every label in every language, on the test split of all sources together and of each source alone.

Says where all positive texts are the project's own examples: there, nobody else has checked what the figure means. The trivial
baseline of AUPRC, and of calling everything positive, is the share of positives. Pure: items and scores in, figures out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.training.data.dataset import Item
from services.training.data.labels import LABELS
from services.training.evaluation.metrics import Figure, auprc, auroc, ece, f1, f1_at, figure
from services.training.evaluation.suites import Suite
from services.training.predict import targets_of

__all__ = ["LANGUAGES", "LabelQuality", "SourceQuality", "label_quality"]

LANGUAGES = ("en", "zh")
_OWN = "own_"
#: Of either side. With fewer texts a source says nothing about a label.
_FEWEST = 5


@dataclass(frozen=True, slots=True)
class SourceQuality:
    """One label on one source's test texts; without intervals, for orientation."""

    source: str
    auroc: float
    f1: float
    ece: float
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """One label in one language."""

    label: str
    language: str
    threshold: float
    auroc: Figure
    auprc: Figure
    f1: Figure
    ece: Figure
    positives: int
    negatives: int
    #: Trivial baseline: AUPRC of a random order.
    share_of_positives: float
    #: Trivial baseline: F1 of calling every text positive.
    f1_of_all_positive: float
    own_examples_only: bool
    sources: tuple[SourceQuality, ...]


def label_quality(
    items: Sequence[Item], scores: NDArray[np.float64], flags: Mapping[str, float], suite: Suite
) -> list[LabelQuality]:
    """Figures of each label and language that have texts of both sides. `scores` has a row per item."""
    targets = targets_of(items)
    languages = np.array([item.language for item in items])
    sources = np.array([item.source for item in items])
    found = []
    for column, label in enumerate(LABELS):
        for language in LANGUAGES:
            rows = np.flatnonzero((languages == language) & ~np.isnan(targets[:, column]))
            truth = targets[rows, column] >= 0.5
            if 0 < truth.sum() < len(truth):
                found.append(
                    _one(label, language, scores[rows, column], truth.astype(float), sources[rows], flags[label], suite)
                )
    return found


def _one(
    label: str,
    language: str,
    scores: NDArray[np.float64],
    truth: NDArray[np.float64],
    sources: NDArray[np.str_],
    threshold: float,
    suite: Suite,
) -> LabelQuality:
    positives = int(truth.sum())
    base = positives / len(truth)
    return LabelQuality(
        label=label,
        language=language,
        threshold=threshold,
        auroc=figure(auroc, scores, truth, rounds=suite.rounds),
        auprc=figure(auprc, scores, truth, rounds=suite.rounds),
        f1=figure(f1_at(threshold), scores, truth, rounds=suite.rounds),
        ece=figure(ece, scores, truth, rounds=suite.rounds),
        positives=positives,
        negatives=len(truth) - positives,
        share_of_positives=base,
        f1_of_all_positive=2 * base / (1 + base),
        own_examples_only=all(str(source).startswith(_OWN) for source in set(sources[truth == 1])),
        sources=tuple(
            _source(str(source), scores[sources == source], truth[sources == source], threshold)
            for source in sorted(set(sources))
        ),
    )


def _source(source: str, scores: NDArray[np.float64], truth: NDArray[np.float64], threshold: float) -> SourceQuality:
    positives, negatives = int(truth.sum()), int((1 - truth).sum())
    enough = min(positives, negatives) >= _FEWEST
    return SourceQuality(
        source,
        auroc(scores, truth) if enough else float("nan"),
        f1(scores, truth, threshold) if positives else float("nan"),
        ece(scores, truth),
        positives,
        negatives,
    )
