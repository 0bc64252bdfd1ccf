"""Scores that mean what they say: one slope and one offset per label on the logit (Platt 1999), fitted on validation texts.

A calibrated score of 0.8 means that about eight in ten such texts carry the label, at the share of positives that the validation
texts have. A monotone map, so it never changes which of two texts ranks higher; linear in the logit, so it is folded into the
head's weights and costs nothing when serving. A label with too few validation texts of either side keeps slope 1 and offset 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["CALIBRATION_FILE", "Calibration"]

CALIBRATION_FILE = "calibration.json"

#: Fewer texts than this on either side, and a fitted line would follow noise.
_FEWEST = 25


@dataclass(frozen=True, slots=True)
class Calibration:
    """`slopes` and `offsets`, shape (labels,): calibrated logit = slope * logit + offset."""

    labels: tuple[str, ...]
    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]

    @classmethod
    def identity(cls, labels: Sequence[str]) -> Calibration:
        """Changes nothing."""
        return cls(tuple(labels), np.ones(len(labels)), np.zeros(len(labels)))

    @classmethod
    def fit(
        cls,
        labels: Sequence[str],
        logits: NDArray[np.float64],
        targets: NDArray[np.float64],
        weights: NDArray[np.float64] | None = None,
    ) -> Calibration:
        """From logits (n, L) and targets (n, L) in 0..1 with NaN for unknown; `weights` (n, L), every text alike without.

        A soft target counts as a positive text by that share, and as a negative one by the rest.
        """
        from sklearn.linear_model import LogisticRegression

        result = cls.identity(labels)
        for column in range(len(labels)):
            known = ~np.isnan(targets[:, column])
            truth = targets[known, column]
            if min((truth >= 0.5).sum(), (truth < 0.5).sum()) < _FEWEST:
                continue
            weight = np.ones(len(truth)) if weights is None else weights[known, column]
            own = logits[known, column : column + 1]
            line = LogisticRegression(C=1e4).fit(
                np.concatenate([own, own]),
                np.repeat([1, 0], len(truth)),
                np.concatenate([truth * weight, (1 - truth) * weight]),
            )
            if line.coef_[0, 0] > 0:
                result.slopes[column], result.offsets[column] = line.coef_[0, 0], line.intercept_[0]
        return result

    @classmethod
    def load(cls, folder: Path, labels: Sequence[str]) -> Calibration:
        """The folder's calibration, or the identity when it has none."""
        path = folder / CALIBRATION_FILE
        if not path.is_file():
            return cls.identity(labels)
        values = json.loads(path.read_text(encoding="utf-8"))
        pairs = [values.get(label, [1.0, 0.0]) for label in labels]
        return cls(tuple(labels), np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]))

    def save(self, folder: Path) -> None:
        """Write it beside the model."""
        values = {name: [float(a), float(b)] for name, a, b in zip(self.labels, self.slopes, self.offsets, strict=True)}
        (folder / CALIBRATION_FILE).write_text(json.dumps(values, indent=1), encoding="utf-8")

    def apply(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated logits, same shape (n, L)."""
        return logits * self.slopes + self.offsets

    def fold(
        self, weights: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Head weights (L, d) and bias (L,) that give calibrated logits."""
        return (
            (weights * self.slopes[:, None]).astype(np.float32),
            (bias * self.slopes + self.offsets).astype(np.float32),
        )
