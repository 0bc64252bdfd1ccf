"""Part 4: does naming a group raise a score? False positives on the non-toxic sentence templates, per identity term.

The templates ("being X is great", "支持X") are Dixon et al. (2018), in English and Chinese. Every sentence is benign, so a flag
for any label is wrong, and a model without this bias flags all terms alike. Names and occupations are not identities and are left
out. Promises: the same sentences each time, the terms taking turns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.evaluation.metrics import Figure, share
from services.training.evaluation.sampling import take_evenly

__all__ = ["IdentityResult", "Template", "judge_templates", "read_templates"]

FOLDER = "multi_bias_templates"
_FILES = {"en": "en_sentence_templates.csv", "zh": "zh-cn_sentence_templates.csv"}
#: Templates whose slot is an identity; the first of each language says nothing but "I am X", which yields the terms.
_TEMPLATES = {
    "en": ("am_hate_adj", "being_adj", "you_are_adj", "verb_adj"),
    "zh": ("am_identity", "being_identity", "you_are_identity_p", "verb_adj", "verb_identity"),
}
_OPENING = {"en": re.compile(r"^I am "), "zh": re.compile(r"^我是(?:一[名位个])?")}
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
    """The benign sentences of a language, at most `most`; none when the set is not there."""
    path = public / FOLDER / _FILES[language]
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["toxicity"] == "nontoxic"]
    opening = _OPENING[language]
    first = _TEMPLATES[language][0]
    terms = {opening.sub("", row["phrase"]) for row in rows if row["template"] == first}
    found = [
        Template(row["phrase"], term, language)
        for row in rows
        if row["template"] in _TEMPLATES[language] and (term := _term(row["phrase"], terms, language))
    ]
    return take_evenly(found, most, lambda case: case.text, lambda case: case.term)


def _term(phrase: str, terms: set[str], language: str) -> str | None:
    """The longest term in the phrase; in English as whole words."""
    if language == "en":
        words = phrase.lower().split()
        runs = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        inside = {term for term in terms if term.lower() in runs}
    else:
        inside = {term for term in terms if term in phrase}
    return max(inside, key=len) if inside else None


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
        false_positives=share(wrong, rounds=rounds),
        terms=len(rates),
        spread=float(by_rate.std()),
        widest=float(by_rate.max() - by_rate.min()),
        score_spread=float(np.std([rate.mean_score for rate in rates])),
        worst=tuple(sorted(rates, key=lambda rate: (-rate.rate, -rate.mean_score, rate.term))[:_WORST]),
    )
