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
from services.training.evaluated import comparable_figures, read_metrics
from services.training.footprint import measure
from services.training.gate import Check, judge, judge_cost
from services.training.packaging import METRICS_FILE, check_size, read_json
from services.training.promotion import Tell
from services.training.versions import VERSION_FILE, ModelFolder, VersionRecord, fingerprint, read_record

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


def check_against_live(
    model: ModelFolder, candidate: Candidate, tell: Tell, live_metrics: Path | None = None
) -> list[Check]:
    """The gate's checks of the candidate against the live version. `live_metrics` stands in for what its record holds.

    Raises:
        ConfigurationError: the engine cannot load the candidate, or figures are not what `tidegate evaluate` writes.
    """
    live = model.live()
    folder = model.path if live is None else model.version_path(live)
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if live is None or missing:
        tell("measuring speed and memory")
        measure([candidate.served])
        note = (
            f"not known: {', '.join(missing)} is missing in {folder}. Put the live version's files back (a checkout of the repository "
            f"has them), or say with --force why it may be replaced without a comparison"
        )
        return [*_measured(candidate, model.name), Check("all", "of the live version", passed=False, note=note)]
    tell("measuring speed and memory of both versions")
    footprints = measure([candidate.served, folder])
    checks = _measured(candidate, model.name) or _quality(model, live, candidate, live_metrics)
    return checks + judge_cost(footprints[0], footprints[1])


def _measured(candidate: Candidate, model: str) -> list[Check]:
    """A failed check when nobody measured these very files."""
    metrics = candidate.record.metrics
    if metrics is None:
        note = f"there is no {METRICS_FILE}: run `tidegate evaluate {model}` first"
    elif not read_metrics(metrics, "the new version").measured(_hashes(candidate.served)):
        note = f"{METRICS_FILE} is of another export: run `tidegate evaluate {model}` again"
    else:
        return []
    return [Check("quality", "of the new version", passed=False, note=note)]


def _quality(model: ModelFolder, live: int, candidate: Candidate, live_metrics: Path | None) -> list[Check]:
    record = model.record(live)
    given = read_json(live_metrics) if live_metrics is not None else record.metrics if record else None
    if given is None:
        note = (
            f"not known: version {live} has no metrics in its {VERSION_FILE}. Measure it with `tidegate evaluate {model.name} "
            f"--served {model.version_path(live)} --json FILE`, and give them with --live-metrics FILE"
        )
        return [Check("quality", "of the live version", passed=False, note=note)]
    before = read_metrics(given, f"version {live}")
    if not before.measured(_hashes(model.version_path(live))):
        note = f"not known: the metrics are not of the files of version {live}"
        return [Check("quality", "of the live version", passed=False, note=note)]
    new, old, problems = comparable_figures(read_metrics(candidate.record.metrics or {}, "the new version"), before)
    return problems + judge(new, old)


def _hashes(folder: Path) -> dict[str, str]:
    return {name: fingerprint(folder / name).sha256 for name in MODEL_FILES}


def _labels(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{folder / 'labels.json'} is damaged: export again") from error
