"""Everything that must hold before an exported version may take the live one's place.

First the files: there, unchanged since the export, within the size, with the labels that `config.pbtxt` declares, and an engine
that loads them. These cannot be forced. Then the gate: the figures of `tidegate evaluate` for both versions, and speed and memory,
measured here side by side. Nothing on disk changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from services.errors import ConfigurationError
from services.serving import MODEL_FILES
from services.training.evaluated import figures_of
from services.training.footprint import measure
from services.training.gate import Check, judge, judge_cost
from services.training.packaging import METRICS_FILE, check_size, read_json
from services.training.promotion import Tell
from services.training.versions import VERSION_FILE, ModelFolder, VersionRecord, read_record

__all__ = ["Candidate", "check_against_live", "read_candidate"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An exported version whose files are in order. `record` holds its metrics, when they were measured."""

    served: Path
    record: VersionRecord


def read_candidate(model: ModelFolder, run: Path) -> Candidate:
    """The version that `run` exported.

    Raises:
        ConfigurationError: it is not complete, was changed, is too large, or has other labels than the model.
    """
    served = run / "served"
    record = read_record(served)
    if record is None:
        raise ConfigurationError(
            f"{served} holds no exported version ({VERSION_FILE} is missing or damaged): run `tidegate export {model.name}` first"
        )
    missing = [name for name in MODEL_FILES if name not in record.files]
    wrong = missing or record.differing(served)
    if wrong:
        raise ConfigurationError(
            f"{served}: {', '.join(wrong)} is missing or is not what {VERSION_FILE} says: run `tidegate export {model.name}` again"
        )
    check_size(served)
    labels, declared = _labels(served), model.labels()
    if labels != declared:
        changes = [f"new: {name}" for name in labels if name not in declared]
        changes += [f"gone: {name}" for name in declared if name not in labels]
        raise ConfigurationError(
            f"the new version scores other labels than {model.path / 'config.pbtxt'} declares "
            f"({', '.join(changes) or 'another order'}). All versions of a model share one configuration: train with its labels, "
            f"or make a model of another name"
        )
    return Candidate(served, record.model_copy(update={"metrics": read_json(run / METRICS_FILE)}))


def check_against_live(model: ModelFolder, candidate: Candidate, tell: Tell) -> list[Check]:
    """The gate's checks of the candidate against the live version.

    Raises:
        ConfigurationError: the engine cannot load the candidate.
    """
    live = model.live()
    folder = model.path if live is None else model.version_path(live)
    comparable = all((folder / name).is_file() for name in MODEL_FILES)
    tell("measuring speed and memory" + (" of both versions" if comparable else ""))
    footprints = measure([candidate.served, *([folder] if comparable else [])])
    checks = _quality(model, live, candidate, comparable=comparable)
    if comparable:
        return checks + judge_cost(footprints[0], footprints[1])
    return [*checks, Check("cost", "of the live version", passed=True, note="not compared, its files are not here")]


def _quality(model: ModelFolder, live: int | None, candidate: Candidate, *, comparable: bool) -> list[Check]:
    if candidate.record.metrics is None:
        note = f"the new version has no {METRICS_FILE}: run `tidegate evaluate {model.name}` first"
        return [Check("quality", "of the new version", passed=False, note=note)]
    new = figures_of(candidate.record.metrics)
    if live is None or not comparable:
        return [Check("quality", "of the live version", passed=True, note="not compared, its files are not here")]
    record = model.record(live)
    if record is None or record.metrics is None:
        note = (
            f"not known, version {live} has no metrics in its {VERSION_FILE}: measure it with `tidegate evaluate`, or promote "
            f"once with --force"
        )
        return [Check("quality", "of the live version", passed=False, note=note)]
    return judge(new, figures_of(record.metrics))


def _labels(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{folder / 'labels.json'} is damaged: export again") from error
