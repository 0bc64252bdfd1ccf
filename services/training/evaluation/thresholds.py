"""Thresholds of a policy from held-out scores: the lowest score from which a stated share of the texts carries the label.

Promises: flag <= review <= block, all inside `BOUNDS`; a label whose texts are too few, or whose scores never reach the precision,
takes the precision itself as its score, which is what a calibrated score means. The precision holds for the share of positives
among the weighted validation texts; in a stream where a label is rarer it is lower, which is why the policy is the operator's.
Pure: arrays in, numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOUNDS", "PRECISIONS", "LabelChoice", "choose_threshold", "choose_thresholds", "policy_block"]

#: Of the texts that reach the action, this share must carry the label.
PRECISIONS: Mapping[str, float] = {"flag": 0.70, "review": 0.80, "block": 0.92}
#: A person in danger is shown to a person early, and never blocked.
_OWN: Mapping[str, Mapping[str, float]] = {"self_harm": {"flag": 0.70, "review": 0.75}}
BOUNDS = (0.25, 0.99)
#: A precision over fewer texts than this is luck.
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """Thresholds of one label by action, and the recall that each has on the weighted validation texts."""

    label: str
    thresholds: Mapping[str, float]
    recalls: Mapping[str, float]
    critical: bool = False


def choose_threshold(
    scores: NDArray[np.float64], truth: NDArray[np.float64], weights: NDArray[np.float64], precision: float
) -> float:
    """The lowest score in `BOUNDS` from which on the weighted share of positives is at least `precision`.

    `truth` holds the probability that a text carries the label. All three have shape (n,) and no NaN.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits, total = np.cumsum((truth * weights)[order]), np.cumsum(weights[order])
    # A cut is possible only where the next score is lower: equal scores stay on one side.
    cut = np.append(ranked[1:] < ranked[:-1], True) if len(ranked) else np.zeros(0, dtype=bool)
    enough = np.arange(1, len(ranked) + 1) >= _FEWEST
    good = np.flatnonzero(cut & enough & (hits >= precision * total))
    chosen = float(ranked[good[-1]]) if len(good) else precision
    return float(np.clip(chosen, *BOUNDS))


def choose_thresholds(
    labels: Sequence[str],
    scores: NDArray[np.float64],
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
    critical: frozenset[str] = frozenset(),
) -> list[LabelChoice]:
    """One choice per label from scores, targets (NaN for unknown) and weights, each of shape (n, L)."""
    choices = []
    for column, label in enumerate(labels):
        known = ~np.isnan(targets[:, column])
        own, truth, weight = scores[known, column], targets[known, column], weights[known, column]
        thresholds: dict[str, float] = {}
        lowest = BOUNDS[0]
        for action, precision in _OWN.get(label, PRECISIONS).items():
            # Rounded up: two decimals are what a person compares, and the precision must hold.
            found = np.ceil(choose_threshold(own, truth, weight, precision) * 100 - 1e-9) / 100
            lowest = max(lowest, min(float(found), BOUNDS[1]))
            thresholds[action] = round(lowest, 2)
        positives = (truth * weight).sum()
        recalls = {
            action: float((truth * weight)[own >= threshold].sum() / positives) if positives else float("nan")
            for action, threshold in thresholds.items()
        }
        choices.append(LabelChoice(label, thresholds, recalls, label in critical))
    return choices


def policy_block(choices: Sequence[LabelChoice]) -> str:
    """The `labels:` part of a policy file, ready to paste."""
    lines = ["labels:"]
    for choice in choices:
        parts = [f"{action}: {threshold:.2f}" for action, threshold in choice.thresholds.items()]
        if choice.critical:
            parts.append("critical: true")
        recalls = ", ".join(f"{action} {recall:.2f}" for action, recall in choice.recalls.items())
        lines.append(f"  {choice.label}: {{{', '.join(parts)}}}  # recall: {recalls}")
    return "\n".join(lines) + "\n"
