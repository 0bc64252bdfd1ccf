"""Whether a new version may take the place of the live one: one check per figure, each saying by how much it holds or fails.

Pure: two sets of figures and limits in, checks out. The rule is the same everywhere: a figure may lie below (for errors: above) the
live version's only as far as the live version's own interval reaches, since a difference inside it may be the luck of the test
texts. Errors that are small enough in themselves pass whatever the live version had. A figure that the live version has and the
new one lacks fails; one that cannot be computed for the live version is not compared, and the check says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.training.footprint import Footprint

__all__ = ["DEFAULT_LIMITS", "Check", "Figures", "Limits", "Reading", "failed", "judge", "judge_cost"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure with its 95 % interval; NaN where it cannot be computed."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What the gate looks at, by name ("toxicity/zh"). The first two are better when higher, the others when lower."""

    quality: Mapping[str, Reading]
    robustness: Mapping[str, Reading] = field(default_factory=dict)
    calibration_error: Mapping[str, Reading] = field(default_factory=dict)
    false_positives: Mapping[str, Reading] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a new version may fall behind."""

    #: Calibration errors up to this pass in any case: at 0.03 a score of 0.80 means 0.77 to 0.83.
    calibration_error: float = 0.03
    #: Shares of wrongly flagged harmless texts up to this pass in any case.
    false_positives: float = 0.02
    #: Of the live version's texts per second. Two runs of one version on a busy machine differ by about 0.1.
    speed: float = 0.85
    #: Times the live version's memory.
    memory: float = 1.15


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison. `limit` is the worst value that would pass; a note stands in for figures that are not there."""

    kind: str
    name: str
    passed: bool
    live: float = math.nan
    new: float = math.nan
    limit: float = math.nan
    higher_is_better: bool = True
    note: str = ""

    @property
    def room(self) -> float:
        """How far the new figure is on the good side of the limit; negative when it is on the bad side."""
        return self.new - self.limit if self.higher_is_better else self.limit - self.new

    @property
    def sentence(self) -> str:
        """For a record, and for the line that says what failed."""
        if self.note:
            return f"{self.kind} {self.name}: {self.note}"
        side = "above" if self.passed == self.higher_is_better else "below"
        return (
            f"{self.kind} {self.name}: {self.new:.4g} is {abs(self.room):.4g} {side} the limit {self.limit:.4g} "
            f"(live {self.live:.4g})"
        )


def judge(new: Figures, live: Figures, limits: Limits = DEFAULT_LIMITS) -> list[Check]:
    """Every check of quality, robustness, calibration and false positives, in this order."""
    checks = _compare("quality", new.quality, live.quality, None)
    checks += _compare("robustness", new.robustness, live.robustness, None)
    checks += _compare("calibration error", new.calibration_error, live.calibration_error, limits.calibration_error)
    return checks + _compare("false positives", new.false_positives, live.false_positives, limits.false_positives)


def judge_cost(new: Footprint, live: Footprint, limits: Limits = DEFAULT_LIMITS) -> list[Check]:
    """The checks of speed and memory."""
    slowest, largest = live.texts_per_second * limits.speed, live.memory_mb * limits.memory
    return [
        _higher("cost", "texts per second", live.texts_per_second, new.texts_per_second, slowest),
        _lower("cost", "memory in MB", live.memory_mb, new.memory_mb, largest),
    ]


def _compare(
    kind: str, new: Mapping[str, Reading], live: Mapping[str, Reading], good_enough: float | None
) -> list[Check]:
    return [_one(kind, name, new.get(name), before, good_enough) for name, before in live.items()]


def _one(kind: str, name: str, new: Reading | None, live: Reading, good_enough: float | None) -> Check:
    bound = live.low if good_enough is None else live.high
    if math.isnan(live.value) or math.isnan(bound):
        return Check(kind, name, passed=True, note="not compared, the live version has too few texts for it")
    if new is None or math.isnan(new.value):
        return Check(kind, name, passed=False, live=live.value, note="the new version was not measured on it")
    if good_enough is None:
        return _higher(kind, name, live.value, new.value, bound)
    return _lower(kind, name, live.value, new.value, max(bound, good_enough))


def _higher(kind: str, name: str, live: float, new: float, limit: float) -> Check:
    return Check(kind, name, new >= limit, live, new, limit)


def _lower(kind: str, name: str, live: float, new: float, limit: float) -> Check:
    return Check(kind, name, new <= limit, live, new, limit, higher_is_better=False)


def failed(checks: Sequence[Check]) -> list[Check]:
    """Those that did not pass."""
    return [check for check in checks if not check.passed]
