from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.training.data.labels import LABELS

pytest.importorskip("datasketch")

from services.training.data.dataset import Dataset, Item
from services.training.evaluation.baselines import baseline
from services.training.evaluation.tasks import TASKS, Task, Texts, evaluate_task, rate, task_texts

BINARY = Task("toy", "Toy", "toy", ("toxicity",), ("macro_f1", "accuracy"), {"macro_f1": 0.8})
THREE = Task("three", "Three", "toy", ("toxicity", "hate"), ("macro_f1",))


def _item(text: str, source: str = "toy", **targets: float) -> Item:
    return Item(text, tuple(targets.get(label, float("nan")) for label in LABELS), source, "en")


def _texts(*rows: tuple[str, int]) -> Texts:
    return Texts([text for text, _ in rows], np.array([number for _, number in rows]))


def test_three_classes_come_from_two_labels() -> None:
    items = [_item("a", toxicity=0, hate=0), _item("b", toxicity=1, hate=0), _item("c", toxicity=1, hate=1)]
    _, _, test = task_texts(THREE, Dataset([], [], items, []))
    assert test.classes.tolist() == [0, 1, 2]


def test_other_sources_and_unknown_targets_are_left_out() -> None:
    items = [_item("a", toxicity=1), _item("b", hate=1), _item("c", source="other", toxicity=1)]
    assert task_texts(BINARY, Dataset([], [], items, []))[2].texts == ["a"]


def test_the_threshold_comes_from_the_validation_split_alone() -> None:
    valid = np.array([[0.1], [0.2], [0.3], [0.4]]), np.array([0, 0, 1, 1])
    test = np.array([[0.25], [0.35], [0.6]]), np.array([1, 1, 1])
    thresholds, metrics = rate(BINARY, valid, test, rounds=10)
    assert 0.2 < thresholds[0] <= 0.3
    again, _ = rate(BINARY, valid, (test[0] / 2, 1 - test[1]), rounds=10)
    assert again == thresholds
    assert metrics["accuracy"].value == pytest.approx(1 if thresholds[0] <= 0.25 else 2 / 3)


def test_two_thresholds_are_tuned_together() -> None:
    scores = np.array([[0.1, 0.1], [0.2, 0.2], [0.8, 0.2], [0.7, 0.1], [0.8, 0.9], [0.3, 0.8]])
    classes = np.array([0, 0, 1, 1, 2, 2])
    _, metrics = rate(THREE, (scores, classes), (scores, classes), rounds=10)
    assert metrics["macro_f1"].value == pytest.approx(1.0)


def test_the_majority_baseline_says_the_most_frequent_class() -> None:
    scores = np.array([[0.9], [0.1], [0.2]])
    result = evaluate_task(BINARY, (scores, np.array([1, 0, 0])), (scores, np.array([1, 0, 0])), None, rounds=10)
    assert result.majority["accuracy"] == pytest.approx(2 / 3)
    assert result.metrics["accuracy"].value == pytest.approx(1.0)
    assert result.tfidf is None


TRAIN = _texts(
    *[(f"you are an awful fool {i}", 1) for i in range(8)], *[(f"a fine sunny day {i}", 0) for i in range(8)]
)
HELD = _texts(("an awful fool again", 1), ("such a sunny day", 0), ("awful awful fool", 1), ("a fine day", 0))


def test_the_baseline_learns_and_is_fitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    cache = tmp_path / "baselines.json"
    first = baseline(BINARY, TRAIN, HELD, HELD, cache, rounds=10, fit=True)
    assert first is not None
    assert first["accuracy"].value == pytest.approx(1.0)
    monkeypatch.setattr("services.training.evaluation.baselines._scores", None)
    assert baseline(BINARY, TRAIN, HELD, HELD, cache, rounds=10, fit=True) == first


def test_other_texts_are_another_baseline(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    cache = tmp_path / "baselines.json"
    baseline(BINARY, TRAIN, HELD, HELD, cache, rounds=10, fit=True)
    other = _texts(("an awful fool", 1), ("sunny", 0))
    assert baseline(BINARY, TRAIN, HELD, other, cache, rounds=10, fit=False) is None


def test_a_damaged_cache_is_computed_anew_and_holds_no_text(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    cache = tmp_path / "baselines.json"
    cache.write_text('{"toy": {"accuracy": 3}}', encoding="utf-8")
    assert baseline(BINARY, TRAIN, HELD, HELD, cache, rounds=10, fit=True) is not None
    assert "fool" not in cache.read_text(encoding="utf-8")


def test_every_target_of_a_task_is_one_of_its_metrics() -> None:
    for task in TASKS:
        assert set(task.targets) <= set(task.metrics)
        assert {published.metric for published in task.published} <= set(task.metrics)
        assert set(task.labels) <= set(LABELS)
