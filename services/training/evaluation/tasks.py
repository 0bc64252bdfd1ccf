"""Part 2: the tasks that others have published figures for, as they define them, on their test splits.

A task asks for a class per text. Binary ones take one label's score against a threshold; Davidson's three classes take two. All
thresholds are tuned on the task's validation split, for the mean of the task's own metrics, and never on test texts: a benchmark
asks for the best decision, a policy for a stated precision. What is published on other splits or by other definitions is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.training.data.dataset import Dataset, Item
from services.training.data.labels import LABELS
from services.training.evaluation.metrics import (
    Figure,
    bootstrap,
    class_accuracy,
    class_macro_f1,
    class_weighted_f1,
)
from services.training.predict import targets_of

__all__ = ["METRICS", "TASKS", "Published", "Task", "TaskResult", "Texts", "evaluate_task", "rate", "task_texts"]

Scores = NDArray[np.float64]
Classes = NDArray[np.int64]

METRICS: Mapping[str, Callable[[Classes, Classes], float]] = {
    "accuracy": class_accuracy,
    "macro_f1": class_macro_f1,
    "weighted_f1": class_weighted_f1,
}
#: Candidate thresholds: quantiles of the validation scores.
_STEPS = 101
_STEPS_OF_TWO = 41


@dataclass(frozen=True, slots=True)
class Published:
    """A figure somebody else reported; `value` is text, since papers give ranges and roundings."""

    metric: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Task:
    """`labels` are the one or two labels whose scores decide; `targets` are lower bounds of metrics."""

    name: str
    title: str
    source: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    targets: Mapping[str, float] = field(default_factory=dict)
    published: tuple[Published, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of one split of a task and their classes."""

    texts: list[str]
    classes: Classes


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The model's figures by metric; `majority` and `tfidf` are the baselines (None: not computed in this suite)."""

    name: str
    title: str
    labels: tuple[str, ...]
    classes: int
    tested: int
    thresholds: tuple[float, ...]
    metrics: Mapping[str, Figure]
    majority: Mapping[str, float]
    tfidf: Mapping[str, Figure] | None
    targets: Mapping[str, float]
    published: tuple[Published, ...]


TASKS: tuple[Task, ...] = (
    Task(
        "cold", "COLD: offensive or not (zh)", "zh_cold", ("toxicity",), ("accuracy", "macro_f1"),
        {"accuracy": 0.825, "macro_f1": 0.82},
        (Published("accuracy", ".81", "COLDetector, Deng et al. 2022 (EMNLP), arXiv:2201.06025"),),
    ),
    Task(
        "edos", "EDOS task A: sexist or not (en)", "en_edos", ("hate.sexism",), ("macro_f1",), {"macro_f1": 0.82},
        (
            Published("macro_f1", ".75-.87", "SemEval-2023 task 10, by model size, Kirk et al. 2023, arXiv:2303.04222"),
            Published("macro_f1", ".839", "voting of BERT models, SemEval-2023 task 10"),
            Published("macro_f1", ".859", "DeBERTa-v3 on several tasks, CL-UZH at SemEval-2023 task 10"),
        ),
    ),
    Task(
        "davidson", "Davidson: neither, offensive, hate (en)", "en_davidson", ("toxicity", "hate"),
        ("weighted_f1", "macro_f1"), {"weighted_f1": 0.91},
        (Published("weighted_f1", "about .91", "BERT, Mozafari et al. 2019, arXiv:1910.12574; another random fifth"),),
    ),
    Task("swsr", "SWSR: sexist or not (zh)", "zh_swsr", ("hate.sexism",), ("macro_f1", "accuracy")),
    Task("hatemoji", "HatemojiBuild test: hateful or not (en)", "en_hatemoji", ("hate",), ("macro_f1", "accuracy")),
    Task("stormfront", "Stormfront sentences: hateful or not (en)", "en_vicomtech_stormfront", ("hate",), ("macro_f1", "accuracy")),
)  # fmt: skip


def task_texts(task: Task, dataset: Dataset) -> tuple[Texts, Texts, Texts]:
    """Training, validation and test texts of a task; empty where the data does not hold its set."""
    train, valid, test = (
        _texts(task, [item for item in items if item.source == task.source])
        for items in (dataset.train, dataset.valid, dataset.test)
    )
    return train, valid, test


def _texts(task: Task, items: Sequence[Item]) -> Texts:
    if not items:
        return Texts([], np.zeros(0, np.int64))
    columns = targets_of(items)[:, [LABELS.index(label) for label in task.labels]]
    known = ~np.isnan(columns).any(axis=1)
    # With two labels: 0 neither, 1 the first alone, 2 the second, whatever the first says.
    classes = (columns >= 0.5).astype(np.int64)
    combined = classes[:, 0] if len(task.labels) == 1 else np.where(classes[:, 1] == 1, 2, classes[:, 0])
    return Texts([item.text for item, keep in zip(items, known, strict=True) if keep], combined[known])


def evaluate_task(
    task: Task,
    valid: tuple[Scores, Classes],
    test: tuple[Scores, Classes],
    tfidf: Mapping[str, Figure] | None,
    rounds: int,
) -> TaskResult:
    """The model's result from (scores, classes) of the validation and the test split."""
    thresholds, metrics = rate(task, valid, test, rounds)
    truth = test[1]
    majority = np.full_like(truth, np.bincount(truth).argmax())
    return TaskResult(
        name=task.name,
        title=task.title,
        labels=task.labels,
        classes=len(task.labels) + 1,
        tested=len(truth),
        thresholds=thresholds,
        metrics=metrics,
        majority={metric: METRICS[metric](majority, truth) for metric in task.metrics},
        tfidf=tfidf,
        targets=task.targets,
        published=task.published,
    )


def rate(
    task: Task, valid: tuple[Scores, Classes], test: tuple[Scores, Classes], rounds: int
) -> tuple[tuple[float, ...], dict[str, Figure]]:
    """Thresholds tuned on the validation split and the metrics they give on the test split; scores have a column per label."""
    thresholds = _tune(task, *valid)
    said = _decide(test[0], thresholds)
    return thresholds, {metric: bootstrap(METRICS[metric], said, test[1], rounds=rounds) for metric in task.metrics}


def _decide(scores: Scores, thresholds: Sequence[float]) -> Classes:
    over = scores >= np.asarray(thresholds)
    if over.shape[1] == 1:
        return over[:, 0].astype(np.int64)
    return np.where(over[:, 1], 2, over[:, 0]).astype(np.int64)


def _tune(task: Task, scores: Scores, truth: Classes) -> tuple[float, ...]:
    """The thresholds with the best mean of the task's metrics; of several, the middle one, which generalises best."""
    if not len(truth):
        return tuple(0.5 for _ in task.labels)
    steps = _STEPS if scores.shape[1] == 1 else _STEPS_OF_TWO
    grids = [np.unique(np.quantile(scores[:, c], np.linspace(0, 1, steps))) for c in range(scores.shape[1])]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*grids, indexing="ij")], axis=1)
    merits = [np.mean([METRICS[m](_decide(scores, point), truth) for m in task.metrics]) for point in grid]
    best = np.flatnonzero(np.array(merits) >= max(merits) - 1e-9)
    return tuple(float(value) for value in grid[best[len(best) // 2]])
