"""The step between training and export: calibrate the scores on the validation texts, and propose the policy's thresholds.

Writes `calibration.json` beside the trained weights (the export folds it into the head) and `thresholds.yaml` into the run: a
`labels:` block for `services/review/policies/default.yaml`, which it also prints and which nothing applies by itself. Promises:
no test text and no text of a set that is not trainable is looked at, since what is fitted here goes into the head's weights; the same
run and data give the same files; logits are computed once and kept with the run. One constant behind the proposed thresholds was
chosen with an eye on tests, once, by people: `thresholds.BASE_RATE` says so.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from rich.console import Console

from services.errors import ConfigurationError
from services.review.policy import DEFAULT_POLICY
from services.training.calibration import Calibration
from services.training.data.dataset import Dataset, Item
from services.training.evaluation.thresholds import choose_thresholds, policy_block
from services.training.evaluation.weights import balanced_weights
from services.training.predict import targets_of

__all__ = ["THRESHOLDS_FILE", "calibrate"]

THRESHOLDS_FILE = "thresholds.yaml"
_LOGITS_FILE = "valid_logits.npz"
#: Validation texts taken of one source at most: a line through the logits needs no more.
_MOST = 1_000


def calibrate(run: Path, dataset: Dataset) -> None:
    """Fit the calibration of `run`/model on the validation split and propose thresholds.

    Raises:
        ConfigurationError: the run holds no trained model, or there is no validation text.
    """
    folder = run / "model"
    if not (folder / "head.safetensors").is_file():
        raise ConfigurationError(f"{folder} holds no trained model: run `tidegate train` first")
    items = _sample(dataset.valid_to_learn_from())
    if not items:
        raise ConfigurationError("the calibration needs validation texts of a trainable set, and the data has none")
    labels, logits = _logits(run, items)
    targets = targets_of(items)
    weights = balanced_weights(items, targets)
    calibration = Calibration.fit(labels, logits, targets, weights)
    calibration.save(folder)
    scores = 1.0 / (1.0 + np.exp(-calibration.apply(logits)))
    block = policy_block(choose_thresholds(labels, scores, targets, weights, _critical()))
    (run / THRESHOLDS_FILE).write_text(block, encoding="utf-8")
    Console().print(
        f"calibrated on {len(items)} validation texts; thresholds for the policy, also in {run / THRESHOLDS_FILE}:\n\n{block}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


def _sample(items: list[Item]) -> list[Item]:
    """At most `_MOST` texts of each source, chosen by a hash of the text, in their order."""
    by_source: dict[str, list[tuple[bytes, int]]] = {}
    for place, item in enumerate(items):
        key = hashlib.sha256(item.text.encode("utf-8", "replace")).digest()
        by_source.setdefault(item.source, []).append((key, place))
    return [items[i] for i in sorted(i for keys in by_source.values() for _, i in sorted(keys)[:_MOST])]


def _logits(run: Path, items: list[Item]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Labels and uncalibrated logits (n, L), from the run's own file when it is of this model and these texts."""
    from services.training.network import load_classifier
    from services.training.predict import predict_torch

    folder, kept = run / "model", run / _LOGITS_FILE
    model, tokenizer = load_classifier(folder)
    # The head names the model well enough: no two trainings end with the same one.
    digest = hashlib.sha256((folder / "head.safetensors").read_bytes())
    for item in items:
        digest.update(item.text.encode("utf-8", "replace") + b"\0")
    if kept.is_file():
        with np.load(kept) as file:
            if str(file["key"]) == digest.hexdigest():
                return model.labels, np.asarray(file["logits"], np.float64)
    logits = predict_torch(model, tokenizer, [item.text for item in items])
    np.savez(kept, key=np.array(digest.hexdigest()), logits=logits)
    return model.labels, logits


def _critical() -> frozenset[str]:
    """Labels whose block is critical in the shipped policy: a choice of people, which no data changes."""
    labels = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))["labels"]
    return frozenset(label for label, limits in labels.items() if limits.get("critical"))
