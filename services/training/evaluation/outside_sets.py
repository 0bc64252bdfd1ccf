"""Part 6: sets that nothing is ever trained on, because of their licence or on purpose. How far does the model carry?

Their labels are close to ours, not equal: `sdcnl` tells posts about suicide from posts about depression, and `tg_spam` mixes
pornography and gambling advertising into spam. So only the ranking is judged (AUROC), not a decision. `socialcd` grades posts that all
speak of suicide into high and low risk, which is another question than ours: all of them are positive here, and the inoffensive test
texts of COLD, posts of the same kind that nothing is trained on, stand against them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.data.labels import LABELS
from services.training.evaluation.metrics import Figure, auprc, auroc, figure
from services.training.evaluation.sampling import take
from services.training.evaluation.suites import Suite

__all__ = ["OUTSIDE_SETS", "OutsideResult", "OutsideSet", "judge_outside", "read_outside"]

Row = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class OutsideSet:
    """`name` is the folder of the set, and `files` lie in it; `long_texts` are posts of several windows."""

    name: str
    label: str
    language: str
    files: tuple[str, ...]
    read: Callable[[Path], Iterator[Row]]
    long_texts: bool = False


@dataclass(frozen=True, slots=True)
class OutsideResult:
    """AUROC of one label on one set, beside the share of positives, which is AUPRC's trivial baseline."""

    name: str
    label: str
    language: str
    auroc: Figure
    auprc: float
    share_of_positives: float


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _tg_spam(path: Path) -> Iterator[Row]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        mark, _, text = line.partition(",")
        if mark in {"0", "1"} and text.strip():
            yield text, mark == "1"


def _sdcnl(path: Path) -> Iterator[Row]:
    for row in _rows(path):
        yield f"{row['title']}\n{row['selftext']}".strip(), row["is_suicide"] == "1"


def _socialcd(path: Path) -> Iterator[Row]:
    if path.suffix == ".csv":
        yield from ((row["TEXT"], False) for row in _rows(path) if row["label"] == "0")
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield next(m["content"] for m in json.loads(line)["messages"] if m["role"] == "user"), True


def _hatemoji_check(path: Path) -> Iterator[Row]:
    for row in _rows(path):
        yield row["text"], row["label_gold"] == "1"


OUTSIDE_SETS: tuple[OutsideSet, ...] = (
    OutsideSet("en_hatemoji", "hate", "en", ("HatemojiCheck__test.csv",), _hatemoji_check),
    OutsideSet("zh_tg_spam", "spam", "zh", ("train.csv", "eval.csv"), _tg_spam),
    OutsideSet(
        "zh_selfharm_socialcd",
        "self_harm",
        "zh",
        ("suicide_train.jsonl", "suicide_val.jsonl", "../zh_cold/test.csv"),
        _socialcd,
    ),
    OutsideSet("en_sdcnl_suicide", "self_harm", "en", ("training-set.csv", "testing-set.csv"), _sdcnl, long_texts=True),
)


def read_outside(one: OutsideSet, public: Path, suite: Suite) -> list[Row]:
    """The set's texts and whether they carry its label; none when it is not there."""
    paths = [public / one.name / name for name in one.files]
    if not all(path.is_file() for path in paths):
        return []
    rows = list({text: positive for path in paths for text, positive in one.read(path)}.items())
    return take(rows, suite.long_texts if one.long_texts else suite.outside, lambda row: row[0])


def judge_outside(one: OutsideSet, rows: list[Row], scores: NDArray[np.float64], rounds: int) -> OutsideResult:
    """From scores (n, L)."""
    truth = np.array([float(positive) for _, positive in rows])
    own = scores[:, LABELS.index(one.label)]
    name = "HatemojiCheck" if one.name == "en_hatemoji" else one.name
    return OutsideResult(
        name, one.label, one.language, figure(auroc, own, truth, rounds=rounds), auprc(own, truth), float(truth.mean())
    )
