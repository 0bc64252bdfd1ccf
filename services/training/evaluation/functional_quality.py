"""Part 3: the share of functional tests passed, per language and behaviour, at the thresholds of the shipped policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.training.evaluation.functional_tests import Case, Outcome, judge
from services.training.evaluation.metrics import Figure, share

__all__ = ["FunctionalResult", "functional_quality"]


@dataclass(frozen=True, slots=True)
class FunctionalResult:
    """`by_language` holds shares of passed cases."""

    passed: Figure
    by_language: Mapping[str, Figure]
    #: Of the cases that must be flagged, and of those that must not.
    wanted_passed: float
    unwanted_passed: float
    behaviours: tuple[Outcome, ...]


def functional_quality(
    cases: Sequence[Case], scores: NDArray[np.float64], flags: Mapping[str, float], rounds: int
) -> FunctionalResult:
    """Judge every case. `scores` has a row per case; behaviours come worst first."""
    passed, outcomes = judge(cases, scores, flags)
    good = np.array(passed)
    languages = np.array([case.language for case in cases])
    wanted = np.array([bool(case.wanted) for case in cases])
    return FunctionalResult(
        passed=share(good, rounds=rounds),
        by_language={str(name): share(good[languages == name], rounds=rounds) for name in sorted(set(languages))},
        wanted_passed=float(good[wanted].mean()) if wanted.any() else float("nan"),
        unwanted_passed=float(good[~wanted].mean()) if not wanted.all() else float("nan"),
        behaviours=tuple(sorted(outcomes, key=lambda o: (o.passed / o.cases, o.language, o.behaviour))),
    )
