"""The part of `metrics.json` (what `tidegate evaluate` writes) that the gate compares, and whether two of them can be compared.

Quality is the AUROC of each label and language, its F1 at the policy's flag (a rare label whose scores all shrink keeps its ranking and
its small calibration error, and flags nothing any more), each public task's own metrics, and the functional tests. Robustness is the
recall that each evasion leaves; false positives are those on harmless sentences that name an identity and on prompts that only look
bad. Pure: documents in, figures and checks out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import ConfigurationError
from services.training.gate import Check, Figures, Reading

__all__ = ["Metrics", "comparable_figures", "read_metrics"]

#: The suite whose figures a version goes live with; the quick one looks at a sample.
_SUITE = "standard"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Figure(_Part):
    value: float | None
    low: float | None
    high: float | None

    def reading(self) -> Reading:
        return Reading(*(math.nan if number is None else number for number in (self.value, self.low, self.high)))


class _Label(_Part):
    label: str
    language: str
    auroc: _Figure
    f1: _Figure
    ece: _Figure


class _Task(_Part):
    name: str
    metrics: dict[str, _Figure]


class _Functional(_Part):
    by_language: dict[str, _Figure]


class _Identity(_Part):
    language: str
    false_positives: _Figure


class _Evasion(_Part):
    evasion: str
    language: str
    recall_after: _Figure


class _LookAlikes(_Part):
    name: str
    false_positives: _Figure


class _Named(_Part):
    version: str


class _Data(_Part):
    sha256: str


class Metrics(_Part):
    """What the gate needs of an evaluation. `served` are the hashes of the files that were measured."""

    suite: str
    served: dict[str, str]
    policy: _Named
    data: _Data
    labels: list[_Label]
    tasks: list[_Task]
    functional: _Functional | None
    identity: list[_Identity]
    evasions: list[_Evasion]
    look_alikes: list[_LookAlikes]

    def measured(self, files: Mapping[str, str]) -> bool:
        """Whether these files (name to sha256) are the ones that were measured."""
        return all(files.get(name) == sha256 for name, sha256 in self.served.items())

    def figures(self, *, at_thresholds: bool) -> Figures:
        """For the gate; `at_thresholds` takes those along that depend on the policy's thresholds."""
        quality = {f"{one.label} {one.language}": one.auroc for one in self.labels}
        quality |= {f"task {one.name} {metric}": figure for one in self.tasks for metric, figure in one.metrics.items()}
        errors = {f"{one.label} {one.language}": one.ece for one in self.labels}
        robustness: dict[str, _Figure] = {}
        wrong: dict[str, _Figure] = {}
        if at_thresholds:
            functional = self.functional.by_language if self.functional else {}
            quality |= {f"F1 at flag {one.label} {one.language}": one.f1 for one in self.labels}
            quality |= {f"functional tests {language}": figure for language, figure in functional.items()}
            robustness = {f"{one.evasion} {one.language}": one.recall_after for one in self.evasions}
            wrong = {f"identity terms {one.language}": one.false_positives for one in self.identity}
            wrong |= {one.name: one.false_positives for one in self.look_alikes}
        return Figures(
            *({name: f.reading() for name, f in part.items()} for part in (quality, robustness, errors, wrong))
        )


def read_metrics(document: dict[str, Any], where: str) -> Metrics:
    """Validate a document; `where` says in a message which one it is.

    Raises:
        ConfigurationError: it is not what `tidegate evaluate` writes; the message names the field.
    """
    try:
        return Metrics.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(
            f"the metrics of {where} are not what `tidegate evaluate` writes ({'.'.join(map(str, first['loc']))}: {first['msg']}): "
            f"evaluate it again"
        ) from error


def comparable_figures(new: Metrics, live: Metrics) -> tuple[Figures, Figures, list[Check]]:
    """The figures of both that can be compared, and a failed check for whatever stands against comparing the others."""
    again = "evaluate the live version again and give its figures with --live-metrics"
    problems = []
    if new.suite != _SUITE:
        problems.append(
            _problem("suite", f"the new version was measured with {new.suite!r}: evaluate it with {_SUITE!r}")
        )
    if live.suite != _SUITE:
        # A sample's intervals are wide, and nearly everything lies inside them.
        problems.append(_problem("suite", f"the live version was measured with {live.suite!r}: {again}"))
    if new.data.sha256 != live.data.sha256:
        problems.append(_problem("test texts", f"the live version was measured on other data: {again}"))
    same_policy = new.policy.version == live.policy.version
    if not same_policy:
        problems.append(
            _problem(
                "thresholds",
                f"the live version was judged by policy {live.policy.version}, not {new.policy.version}: {again}",
            )
        )
    return new.figures(at_thresholds=same_policy), live.figures(at_thresholds=same_policy), problems


def _problem(name: str, note: str) -> Check:
    return Check("comparison", name, passed=False, note=note)
