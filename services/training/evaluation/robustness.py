"""Part 5: how much an evasion hides, and what seeing through it costs.

For each evasion of `data/evasion.py`, and for harmless texts around one ("surrounded"): positives (texts with some label) lose score
and recall; clean texts, changed the same way, must not be flagged more than before. A text's score is the highest of the labels it
carries, or, when clean, of the labels known not to apply. Only texts that the evasion changes count. Over-correction also has sets of
its own: safe prompts that look unsafe (XSTest) and plain Chinese questions of law, medicine and psychology (CValues).
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.data.dataset import Item
from services.training.data.evasion import EVASIONS, Evasion
from services.training.data.surroundings import surrounded
from services.training.evaluation.metrics import Figure, bootstrap, mean, share
from services.training.evaluation.sampling import take_items
from services.training.predict import targets_of

__all__ = [
    "EvasionCase",
    "EvasionResult",
    "LookAlikes",
    "evasion_cases",
    "judge_evasion",
    "judge_look_alikes",
    "safe_prompts",
]


@dataclass(frozen=True, slots=True)
class EvasionCase:
    """Texts of one language that one evasion changes: before, after, and with which targets."""

    evasion: str
    language: str
    positive: bool
    items: list[Item]
    changed: list[str]


@dataclass(frozen=True, slots=True)
class EvasionResult:
    """`drop` is the mean loss of score; rates are shares of texts at the `flag` threshold, before and after."""

    evasion: str
    language: str
    positives: int
    drop: Figure
    recall_before: float
    recall_after: Figure
    negatives: int
    false_positives_before: float
    false_positives_after: Figure


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """Share of benign texts that any label flags."""

    name: str
    false_positives: Figure


def evasion_cases(items: Sequence[Item], most: int) -> list[EvasionCase]:
    """For every evasion and language: at most `most` positives and as many clean texts, changed in a way that a seed fixes."""
    cases = []
    for language in ("en", "zh"):
        sides = {
            positive: take_items([i for i in items if i.language == language and _side(i) is positive], most * 2)
            for positive in (True, False)
        }
        for evasion in (*EVASIONS, *_surroundings(items, language)):
            if language in evasion.languages:
                cases += [_case(evasion, language, positive, some, most) for positive, some in sides.items()]
    return cases


def _surroundings(items: Sequence[Item], language: str) -> list[Evasion]:
    """Harmless held-out texts before and behind, as one more evasion; none where no text is known to carry no label."""
    harmless = [item.text for item in items if item.language == language and not any(item.targets)]  # NaN is true
    if not harmless:
        return []

    def change(text: str, randomness: random.Random) -> str:
        return surrounded(text, language, harmless, randomness)

    return [Evasion("surrounded", (language,), change)]


def _side(item: Item) -> bool | None:
    """True: carries a label; False: everything that is known of it is clean; None: soft targets say neither."""
    known = [target for target in item.targets if not np.isnan(target)]
    if any(target > 0.5 for target in known):
        return True
    return False if known and not any(known) else None


def _case(evasion: Evasion, language: str, positive: bool, items: Sequence[Item], most: int) -> EvasionCase:  # noqa: FBT001
    pairs = []
    for item in items:
        changed = evasion.change(item.text, random.Random(f"{evasion.name}/{item.text}"))
        if changed != item.text:
            pairs.append((item, changed))
    kept = pairs[:most]
    return EvasionCase(evasion.name, language, positive, [item for item, _ in kept], [text for _, text in kept])


def judge_evasion(
    positive: tuple[EvasionCase, NDArray[np.float64], NDArray[np.float64]],
    negative: tuple[EvasionCase, NDArray[np.float64], NDArray[np.float64]],
    limits: NDArray[np.float64],
    rounds: int,
) -> EvasionResult:
    """From (case, scores before, scores after), the scores (n, L), and the `flag` threshold of each label."""
    case = positive[0]
    before, after = (_judged(case, scores, limits) for scores in positive[1:])
    clean_before, clean_after = (_judged(negative[0], scores, limits) for scores in negative[1:])
    return EvasionResult(
        evasion=case.evasion,
        language=case.language,
        positives=len(case.items),
        drop=bootstrap(mean, before[0] - after[0], rounds=rounds),
        recall_before=mean(before[1].astype(float)),
        recall_after=share(after[1], rounds=rounds),
        negatives=len(negative[0].items),
        false_positives_before=mean(clean_before[1].astype(float)),
        false_positives_after=share(clean_after[1], rounds=rounds),
    )


def _judged(
    case: EvasionCase, scores: NDArray[np.float64], limits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each text's score, and whether it is flagged, over the labels that count for its side."""
    if not case.items:
        return np.zeros(0), np.zeros(0, dtype=bool)
    targets = targets_of(case.items)
    counts = targets > 0.5 if case.positive else targets == 0
    return np.where(counts, scores, 0.0).max(axis=1), (counts & (scores >= limits)).any(axis=1)


def safe_prompts(public: Path) -> list[str]:
    """XSTest's safe prompts; none when the set is not there."""
    path = public / "en_xstest" / "xstest_prompts.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["prompt"] for row in csv.DictReader(file) if row["label"] == "safe"]


def judge_look_alikes(name: str, flagged: NDArray[np.bool_], rounds: int) -> LookAlikes:
    """From the flags (n, L) of benign texts."""
    return LookAlikes(name, share(flagged.any(axis=1), rounds=rounds))
