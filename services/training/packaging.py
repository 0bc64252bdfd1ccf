"""From a trained run to RUN/served: calibrated, exported, and described, ready for `tidegate evaluate` and `tidegate promote`.

Promises: RUN/served has a `version.json` only when it is complete, with the sha256 of every file, so that a later step notices an
export that was cut off or changed; the record lists the data that the run kept as its own and names no folder of this machine; a
folder above the size that git can carry is an error. The training data is read again, because calibration and quantisation need its
validation texts; test texts, and sets that may not be trained on, are not looked at. A version that was trained on from another lists
that one's data as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.errors import ConfigurationError
from services.training.ancestry import ancestors_of
from services.training.config import DEFAULT_BASE, SHIPPED_CONFIG, TrainConfig, load_config
from services.training.promotion import now
from services.training.trained_on import trained_on
from services.training.versions import (
    MAX_MODEL_BYTES,
    VERSION_FILE,
    Ancestor,
    VersionRecord,
    fingerprint,
    size_of,
    write_record,
)

if TYPE_CHECKING:
    from services.training.data.dataset import Dataset

__all__ = ["METRICS_FILE", "check_size", "export_run", "read_json", "run_config"]

METRICS_FILE = "metrics.json"


def run_config(run: Path, public: Path | None = None) -> TrainConfig:
    """The configuration that the run was trained with; for a run that kept none, the shipped one."""
    kept = read_json(run / "run.json")
    config = load_config(SHIPPED_CONFIG) if kept is None else TrainConfig.model_validate(kept.get("config", {}))
    if public is None:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"public": public})})


def export_run(
    model: str, run: Path, target: Path, dataset: Dataset, *, int8_activations: bool = False
) -> VersionRecord:
    """Calibrate the trained model of `run`, export it to `target`, and describe it there.

    Raises:
        ConfigurationError: nothing is trained, there is no validation text, or the result is too large.
    """
    from services.serving import MODEL_FILES
    from services.training.calibrate import calibrate
    from services.training.export import export_model

    check_trained(run)
    calibrate(run, dataset)
    # Without its record a folder cannot be promoted: it stays so until every file is in place.
    (target / VERSION_FILE).unlink(missing_ok=True)
    texts = [item.text for item in dataset.valid_to_learn_from()]
    export_model(run / "model", target, texts, int8_activations=int8_activations)
    check_size(target)
    trained = read_json(run / "run.json") or {}
    record = VersionRecord(
        model=model,
        created=now(),
        base={"name": trained.get("base", ""), "pieces": trained.get("pieces")},
        commit=trained.get("commit", ""),
        seed=trained.get("settings", {}).get("seed"),
        config=_portable({**trained.get("config", {}), "int8_activations": int8_activations}),
        data=[_source(entry) for entry in trained_on(run) or dataset.manifest_json()],
        ancestors=_ancestors(trained),
        files={name: fingerprint(target / name) for name in MODEL_FILES},
        metrics=None,  # of an earlier export, if there are any; `tidegate evaluate` measures this one
    )
    write_record(target, record)
    return record


def _ancestors(trained: dict[str, Any]) -> list[Ancestor]:
    """What the run noted when it started; of a run from before that was noted, what its base says now."""
    if "ancestors" in trained:
        return [Ancestor.model_validate(entry) for entry in trained["ancestors"]]
    return ancestors_of(trained.get("config", {}).get("base", DEFAULT_BASE))


def check_trained(run: Path) -> None:
    """Before the data is read, which takes a while.

    Raises:
        ConfigurationError: the run holds no trained model.
    """
    if not (run / "model" / "labels.json").is_file():
        raise ConfigurationError(
            f"{run} holds no trained model ({run / 'model'} is missing or incomplete): run `tidegate train` first, or name another "
            f"run with --run"
        )


def check_size(folder: Path) -> None:
    """A version is committed, and git keeps every one for ever.

    Raises:
        ConfigurationError: the files are too large.
    """
    sizes = size_of(folder)
    total = sum(sizes.values())
    if total > MAX_MODEL_BYTES:
        largest = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in list(sizes.items())[:3])
        raise ConfigurationError(
            f"{folder} has {total / 1e6:.1f} MB, and a version may have {MAX_MODEL_BYTES / 1e6:.0f} ({largest}): keep fewer pieces of "
            f"the vocabulary, or take a smaller base model"
        )


def read_json(path: Path) -> dict[str, Any] | None:
    """An object; None when the file is not there.

    Raises:
        ConfigurationError: it is there and is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__}): make it again") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is not a JSON object: make it again")
    return content


def _portable(value: Any) -> Any:
    """A configuration without the folders of this machine: of an absolute path, only the last part says anything elsewhere."""
    if isinstance(value, dict):
        return {key: _portable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_portable(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _source(entry: dict[str, object]) -> dict[str, Any]:
    """Of a data set, what a version must remember: which files under which licence, and how many texts were trained on."""
    kept = ("name", "language", "licence", "trainable", "train", "repeat", "sha256")
    return {key: entry[key] for key in kept if key in entry}
