"""What an evaluation found, whole: the JSON document that the report, the gate and the model card read, and the targets it is held to.

    {"format": 1, "model": "review", "run": ..., "suite": "standard", "finished": ..., "seconds": ..., "served": {file: sha256},
     "policy": {"id", "version", "flags": {label: threshold}}, "data": {"sha256", "test"}, "skipped": [...],
     "labels": [{"label", "language", "threshold", "auroc": F, "auprc": F, "f1": F, "ece": F, "positives", ..., "sources": [...]}],
     "tasks": [{"name", "metrics": {metric: F}, "majority": {}, "tfidf": {metric: F} or null, "published": [...], ...}],
     "functional": {"passed": F, "by_language": {language: F}, "behaviours": [...]} or null,
     "identity": [{"language", "false_positives": F, "spread", ...}],
     "evasions": [{"evasion", "language", "drop": F, "recall_after": F, "false_positives_after": F, ...}],
     "look_alikes": [{"name", "false_positives": F}], "outside": [{"name", "label", "language", "auroc": F, ...}],
     "agreement": {..., "flipped": F} or null, "explanation": {"evidence": F, "occlusion": F, "random": F, ...} or null,
     "targets": [{"name", "value", "limit", "at_least", "met"}]}

F is {"value", "low", "high", "positives", "negatives"}; null stands for a number that cannot be computed. It holds figures and names,
never a text, and no path of the machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from services.training.evaluation.agreement import AgreementResult
from services.training.evaluation.faithfulness import FaithfulnessResult
from services.training.evaluation.functional_quality import FunctionalResult
from services.training.evaluation.identity_terms import IdentityResult
from services.training.evaluation.label_quality import LabelQuality
from services.training.evaluation.outside_sets import OutsideResult
from services.training.evaluation.robustness import EvasionResult, LookAlikes
from services.training.evaluation.tasks import TaskResult
from services.training.versions import write_atomically

__all__ = ["Evaluation", "Findings", "Target", "targets_of_findings", "write_evaluation"]

_DECIMALS = 5
AUROC = 0.85
CALIBRATION_ERROR = 0.05
FUNCTIONAL = 0.85
FLIPPED = 0.005


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that the project wants to reach; a NaN misses it."""

    name: str
    value: float
    limit: float
    at_least: bool
    met: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """The eight parts. A part whose data or files were not there is empty or None, and `Evaluation.skipped` says why."""

    labels: tuple[LabelQuality, ...] = ()
    tasks: tuple[TaskResult, ...] = ()
    functional: FunctionalResult | None = None
    identity: tuple[IdentityResult, ...] = ()
    evasions: tuple[EvasionResult, ...] = ()
    look_alikes: tuple[LookAlikes, ...] = ()
    outside: tuple[OutsideResult, ...] = ()
    agreement: AgreementResult | None = None
    explanation: FaithfulnessResult | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The findings, and what they were found with."""

    model: str
    run: str
    suite: str
    finished: str
    seconds: float
    served: Mapping[str, str]
    policy: Mapping[str, object]
    data: Mapping[str, object]
    skipped: tuple[str, ...]
    findings: Findings
    targets: tuple[Target, ...]

    def document(self) -> dict[str, object]:
        """The JSON document."""
        content = asdict(self)
        findings = content.pop("findings")
        targets = content.pop("targets")
        cleaned = _plain({"format": 1, **content, **findings, "targets": targets})
        if not isinstance(cleaned, dict):
            raise TypeError("a document is an object")
        return cleaned


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write the document in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(evaluation.document(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, float):
        return round(value, _DECIMALS) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def targets_of_findings(findings: Findings) -> tuple[Target, ...]:
    """What the project set out to reach, beside what was found."""
    targets = []
    for one in findings.labels:
        place = f"{one.label} {one.language}"
        targets.append(_at_least(f"AUROC {place}", one.auroc.value, AUROC))
        targets.append(_at_most(f"calibration error {place}", one.ece.value, CALIBRATION_ERROR))
    for task in findings.tasks:
        targets += [_at_least(f"{task.name} {m}", task.metrics[m].value, limit) for m, limit in task.targets.items()]
    if findings.functional is not None:
        for language, figure in findings.functional.by_language.items():
            targets.append(_at_least(f"functional tests {language}", figure.value, FUNCTIONAL))
    if findings.agreement is not None:
        targets.append(_at_most("decisions flipped by int8", findings.agreement.flipped.value, FLIPPED))
    return tuple(targets)


def _at_least(name: str, value: float, limit: float) -> Target:
    return Target(name, value, limit, at_least=True, met=value >= limit)


def _at_most(name: str, value: float, limit: float) -> Target:
    return Target(name, value, limit, at_least=False, met=value <= limit)
