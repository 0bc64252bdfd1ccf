"""Functional tests: one behaviour each, minimal contrasts, written apart from the training data (after HateCheck, Röttger 2021).

Files: `services/training/functional/<en|zh>.txt`. `# behaviour: name - what it checks` opens a behaviour; a case is
`+label,+label | text` (each score must reach its threshold), `-label | text` (must not) or `- | text` (no label may). Promises:
a malformed line is an error that names file and line; no case is ever trained on (`dataset` holds them out like test texts).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.errors import ConfigurationError
from services.training.data.labels import LABELS

__all__ = ["FUNCTIONAL", "Case", "Outcome", "judge", "read_cases"]

FUNCTIONAL = Path(__file__).resolve().parents[1] / "functional"

_SEPARATOR = " | "


@dataclass(frozen=True, slots=True)
class Case:
    """One text; `wanted` must reach their thresholds, `unwanted` must not."""

    behaviour: str
    language: str
    text: str
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many cases of one behaviour passed."""

    behaviour: str
    language: str
    passed: int
    cases: int


def read_cases(folder: Path = FUNCTIONAL) -> Iterator[Case]:
    """Every case of every language.

    Raises:
        ConfigurationError: a line is malformed or names an unknown label.
    """
    for path in sorted(folder.glob("*.txt")):
        behaviour = ""
        for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            line = raw.strip()
            if not line:
                continue
            if line.startswith("# behaviour:"):
                behaviour = line.removeprefix("# behaviour:").split(" - ")[0].strip()
                continue
            if line.startswith("#") and _SEPARATOR not in line:
                continue
            yield _case(line, behaviour, path, number)


def _case(line: str, behaviour: str, path: Path, number: int) -> Case:
    names, separator, text = line.partition(_SEPARATOR)
    wanted: list[str] = []
    unwanted: list[str] = []
    for name in (part.strip() for part in names.split(",")):
        if name == "-":
            unwanted += LABELS
            continue
        if name[:1] not in {"+", "-"} or name[1:] not in LABELS:
            raise ConfigurationError(f"{path.name}, line {number}: {name!r} is not +label, -label or -")
        (wanted if name[0] == "+" else unwanted).append(name[1:])
    if not separator or not text.strip() or not behaviour:
        raise ConfigurationError(f"{path.name}, line {number}: expected '+label | text' below a behaviour")
    return Case(behaviour, path.stem, text.strip().replace("\\n", "\n"), tuple(wanted), tuple(unwanted))


def judge(
    cases: Sequence[Case], scores: NDArray[np.float64], thresholds: Mapping[str, float]
) -> tuple[list[bool], list[Outcome]]:
    """Whether each case passed, and the sums by language and behaviour. `scores` has a row per case, a column per label."""
    column = {label: i for i, label in enumerate(LABELS)}
    passed = [
        all(row[column[label]] >= thresholds[label] for label in case.wanted)
        and all(row[column[label]] < thresholds[label] for label in case.unwanted)
        for case, row in zip(cases, scores, strict=True)
    ]
    sums: dict[tuple[str, str], list[bool]] = {}
    for case, good in zip(cases, passed, strict=True):
        sums.setdefault((case.language, case.behaviour), []).append(good)
    return passed, [Outcome(name, language, sum(r), len(r)) for (language, name), r in sorted(sums.items())]
