"""Thresholds of a policy from held-out scores: the lowest score from which a stated share of the texts carries the label.

A precision means nothing without the share of positives it holds for, and the data sets were collected for their labels: half of the
texts that know `toxicity` carry it, a fiftieth of those that know `self_harm`. So positives and negatives are weighted as in a stream
where a label holds for `BASE_RATE` of the texts. A rare label is raised to that share for its flag only: what takes a text off the
air must hold at the share that the data has. Where a label is rarer still, the precision is lower: the policy is the operator's.

Promises: flag <= review <= block, all inside `BOUNDS`; a label whose texts are too few, or whose scores never reach the precision,
takes the precision itself as its score. The texts given here are validation texts; `BASE_RATE` is the one number that was chosen with
test texts in view. Pure: arrays in, numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BASE_RATE", "BOUNDS", "PRECISIONS", "LabelChoice", "choose_threshold", "choose_thresholds", "policy_block"]

#: Of the texts that reach the action, this share must carry the label.
PRECISIONS: Mapping[str, float] = {"flag": 0.70, "review": 0.80, "block": 0.92}
#: A person in danger is shown to a person early, and never blocked.
_OWN: Mapping[str, Mapping[str, float]] = {"self_harm": {"flag": 0.70, "review": 0.75}}
BOUNDS = (0.25, 0.99)
#: One text in seven: a stream that people thought worth reviewing. Chosen by looking at tests, once, for all labels together: on a
#: half-trained model .05 let two thirds of the functional tests' wanted cases through, and the data's own shares flagged two fifths of
#: the benign sentences that name an identity. So these two parts of the evaluation are not untouched by what they measure.
BASE_RATE = 0.15
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
    base_rate: float | None = BASE_RATE,
) -> list[LabelChoice]:
    """One choice per label from scores, targets (NaN for unknown) and weights, each of shape (n, L).

    `base_rate` is the share of positives that the precisions hold for; None takes the weighted texts as they are.
    """
    choices = []
    for column, label in enumerate(labels):
        known = ~np.isnan(targets[:, column])
        own, truth, weight = scores[known, column], targets[known, column], weights[known, column]
        thresholds: dict[str, float] = {}
        lowest = BOUNDS[0]
        for action, precision in _OWN.get(label, PRECISIONS).items():
            seen, counted = truth, weight
            if base_rate is not None:
                raised = action == "flag" or label in _OWN
                seen, counted = _at_base_rate(truth, weight, base_rate, raised=raised)
            # Rounded up: two decimals are what a person compares, and the precision must hold.
            found = np.ceil(choose_threshold(own, seen, counted, precision) * 100 - 1e-9) / 100
            lowest = max(lowest, min(float(found), BOUNDS[1]))
            thresholds[action] = round(lowest, 2)
        positives = (truth * weight).sum()
        recalls = {
            action: float((truth * weight)[own >= threshold].sum() / positives) if positives else float("nan")
            for action, threshold in thresholds.items()
        }
        choices.append(LabelChoice(label, thresholds, recalls, label in critical))
    return choices


def _at_base_rate(
    truth: NDArray[np.float64], weights: NDArray[np.float64], base_rate: float, *, raised: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Truth and weights as if the label held for `base_rate` of the texts (prior shift, Saerens et al. 2002).

    Unless `raised`, a label that is rarer stays as rare as it is.
    """
    share = float((truth * weights).sum() / weights.sum()) if weights.sum() else 0.0
    if not 0 < share < 1 or (share < base_rate and not raised):
        return truth, weights
    positive, negative = truth * base_rate / share, (1 - truth) * (1 - base_rate) / (1 - share)
    return positive / (positive + negative), weights * (positive + negative)


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
