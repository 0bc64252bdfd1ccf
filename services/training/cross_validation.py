"""K-fold cross-validation: how much of a result is the luck of the split. An option; it costs k trainings.

Folds go by a hash of the text before any evasion, or of its group's name, so that copies of a text, cloaked or not, and the sides
of a contrast stay together; of public sets it knows no groups, so variants of one prompt may be on both sides. Told to stop, it ends
with the fold it is at, unscored. Each fold is a run folder of its own (`fold-1` ...), which resumes like any other; the table it leaves
(`folds.json`) has AUROC per label and fold.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import typer

from services.training.data.dataset import Dataset, Item
from services.training.data.labels import LABELS
from services.training.data.near_duplicates import exact_key
from services.training.evaluation.metrics import auroc
from services.training.fit import FitSettings, fit
from services.training.network import load_classifier
from services.training.predict import predict_torch, targets_of

__all__ = ["cross_validate", "fold_number"]


def fold_number(item: Item, folds: int) -> int:
    """Which fold an item is held out in."""
    key = exact_key(item.group or item.text)
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "replace")).digest()[4:8], "big") % folds


def cross_validate(
    base: Path, dataset: Dataset, run: Path, settings: FitSettings, folds: int
) -> dict[str, list[float]]:
    """Train on all but one fold, score on it, for each; returns and writes AUROC per label.

    Raises:
        typer.Exit: it was told to stop; the same command continues.
    """
    numbers = [fold_number(item, folds) for item in dataset.train]
    results: dict[str, list[float]] = {label: [] for label in LABELS}
    for fold in range(folds):
        train = [item for item, number in zip(dataset.train, numbers, strict=True) if number != fold]
        held: list[Item] = [item for item, number in zip(dataset.train, numbers, strict=True) if number == fold]
        typer.echo(f"fold {fold + 1} of {folds}: {len(train)} texts to train on, {len(held)} held out")
        classifier, tokenizer = load_classifier(base, LABELS)
        steps = None if settings.steps is None else max(1, settings.steps * (folds - 1) // folds)
        place = run / f"fold-{fold + 1}"
        result = fit(classifier, tokenizer, train, place, replace(settings, steps=steps))
        if not result.finished:
            typer.echo(
                f"stopped after {result.steps} steps of fold {fold + 1}; the same command continues from {place}"
            )
            raise typer.Exit(130)
        logits = predict_torch(classifier, tokenizer, [item.text for item in held], settings.width)
        truth = targets_of(held)
        for column, label in enumerate(LABELS):
            results[label].append(auroc(logits[:, column], truth[:, column]))
    (run / "folds.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results
