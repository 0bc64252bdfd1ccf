"""Part 4: does naming a group raise a score? False positives on the non-toxic sentence templates, per identity term.

Every sentence is benign, so a flag for any label is wrong, and a model without this bias flags all terms alike. Measured on the
held-out part of `data.identity_templates`: neither a measured sentence nor its template was trained on, nor another sentence of the
templates with its term. The words are not unseen: other data sets speak of the same groups, often with hatred, which is where such a
bias comes from. Promises: the same sentences each time, the terms taking turns. Intervals resample terms, not sentences: a few terms
make all the sentences, and how a model takes a term is most of what it says of its sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.data.identity_templates import FILES, FOLDER, read
from services.training.evaluation.metrics import Figure, clustered_share
from services.training.evaluation.sampling import take_evenly

__all__ = ["IdentityResult", "Template", "judge_templates", "read_templates"]

_WORST = 8


@dataclass(frozen=True, slots=True)
class Template:
    """One benign sentence and the identity it names."""

    text: str
    term: str
    language: str


@dataclass(frozen=True, slots=True)
class TermRate:
    """False positives of one term, and the mean of its sentences' highest scores."""

    term: str
    rate: float
    mean_score: float
    sentences: int


@dataclass(frozen=True, slots=True)
class IdentityResult:
    """`spread` is the standard deviation of the terms' false-positive rates, `widest` their largest difference."""

    language: str
    false_positives: Figure
    terms: int
    spread: float
    widest: float
    score_spread: float
    worst: tuple[TermRate, ...]


def read_templates(public: Path, language: str, most: int) -> list[Template]:
    """The held-out benign sentences of a language, at most `most`; none when the set is not there."""
    if not (public / FOLDER / FILES[language]).is_file():
        return []
    found = [
        Template(sentence.text, sentence.term, language)
        for sentence in read(public / FOLDER, language)
        if sentence.held_out and not sentence.toxic
    ]
    return take_evenly(found, most, lambda case: case.text, lambda case: case.term)


def judge_templates(
    cases: Sequence[Template], scores: NDArray[np.float64], flagged: NDArray[np.bool_], rounds: int
) -> IdentityResult:
    """Rates of one language's sentences from scores and flags, both (n, L)."""
    wrong, highest = flagged.any(axis=1), scores.max(axis=1)
    places: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        places.setdefault(case.term, []).append(place)
    rates = [TermRate(t, float(wrong[p].mean()), float(highest[p].mean()), len(p)) for t, p in places.items()]
    by_rate = np.array([rate.rate for rate in rates])
    return IdentityResult(
        language=cases[0].language,
        false_positives=clustered_share(wrong, [case.term for case in cases], rounds=rounds),
        terms=len(rates),
        spread=float(by_rate.std()),
        widest=float(by_rate.max() - by_rate.min()),
        score_spread=float(np.std([rate.mean_score for rate in rates])),
        worst=tuple(sorted(rates, key=lambda rate: (-rate.rate, -rate.mean_score, rate.term))[:_WORST]),
    )
