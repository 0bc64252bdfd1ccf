"""Folds: what stays together, and what an interruption does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from tokenizers import Tokenizer

from services.training import cross_validation
from services.training.cross_validation import cross_validate, fold_number
from services.training.data.dataset import Dataset, Item, load_dataset
from services.training.data.groups import GroupedExample
from services.training.data.own_examples import EXAMPLES, own_sources
from services.training.data.sources import Example, Source
from services.training.fit import FitResult, FitSettings
from services.training.predict import predict_torch
from tests.training.tiny import items

pytestmark = pytest.mark.timeout(600)


def dataset(*examples: Example) -> Dataset:
    """Each text three times an epoch, mostly cloaked."""

    def read(_folder: Path) -> Iterator[Example]:
        yield from examples

    return load_dataset([(Source("toy", "en", "MIT", (), read, 1000, "official", 3), Path())], evasion_share=0.9)


def folds_of(found: list[Item], key: str) -> set[int]:
    return {fold_number(item, 5) for item in found if item.group == key}


def test_a_text_and_its_cloaked_copies_are_in_one_fold() -> None:
    plain = [f"an ordinary sentence of some length with number {n}" for n in range(30)]
    found = dataset(*(Example(text, {"hate": 1.0}, "train") for text in plain)).train
    assert len({item.text for item in found}) > 60
    assert all(len(folds_of(found, text)) == 1 for text in plain)
    assert len({fold_number(item, 5) for item in found}) == 5


def test_the_sides_of_a_contrast_are_in_one_fold() -> None:
    made = [
        GroupedExample(f"{side} of pair {n}", {}, "train", group=f"{n}") for n in range(30) for side in ("yes", "no")
    ]
    found = dataset(*made).train
    assert all(len(folds_of(found, str(n))) == 1 for n in range(30))


def test_own_examples_know_their_groups() -> None:
    found = load_dataset([(source, EXAMPLES) for source in own_sources()[:2]], evasion_share=0.0).train
    groups = {item.group for item in found}
    assert all("/" in group for group in groups)
    assert len(groups) < len({item.text for item in found})


def test_told_to_stop_it_neither_scores_nor_goes_on_to_the_next_fold(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Path] = []

    def stopped(_model: object, _tokenizer: object, _items: object, out: Path, _settings: object) -> FitResult:
        runs.append(out)
        return FitResult(3, 12, 1.0, 0.5, finished=False)

    monkeypatch.setattr(cross_validation, "fit", stopped)
    with pytest.raises(typer.Exit) as ended:
        cross_validate(base, Dataset(items(20), [], [], []), tmp_path, FitSettings(steps=8), 2)
    assert ended.value.exit_code == 130
    assert runs == [tmp_path / "fold-1"]
    assert not (tmp_path / "folds.json").exists()


class _Elsewhere(torch.nn.Module):  # type: ignore[misc]  # torch is Any where the checks run
    """A model on a device that is not the CPU ("meta" is on every machine), and remembers where its inputs lay."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = ("one", "other")
        self.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))
        self.seen: set[str] = set()

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.seen |= {tokens.device.type, mask.device.type}
        return torch.zeros(len(tokens), 2)


def test_texts_are_scored_on_the_device_of_the_model(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    autocast, devices = torch.autocast, []

    def on_cpu(device: str, *arguments: Any, **options: Any) -> Any:
        devices.append(device)
        return autocast("cpu", *arguments, **options)  # torch knows no autocast for "meta"

    monkeypatch.setattr(torch, "autocast", on_cpu)
    model: Any = _Elsewhere()
    logits = predict_torch(model, Tokenizer.from_file(str(base / "tokenizer.json")), ["a text", "another one"])
    assert (model.seen, devices) == ({"meta"}, ["meta"])
    assert np.array_equal(logits, np.zeros((2, 2)))
