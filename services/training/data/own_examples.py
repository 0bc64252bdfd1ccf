"""The examples that the project wrote itself, read from `services/training/examples/` (its README.md gives the format).

Promises: every label that a line does not name is 0, one that it marks with `?` stays open; a group of lines (a contrast pair)
falls into one split as a whole; a malformed line is an error that names file and line, never skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.errors import ConfigurationError
from services.training.data.folds import fold_of
from services.training.data.groups import GroupedExample
from services.training.data.labels import LABELS, benign
from services.training.data.sources import Example, Source, Targets

__all__ = ["EXAMPLES", "OwnExample", "own_sources", "read_examples"]

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

_SEPARATOR = " | "
_NONE = "-"
#: Own examples cover labels that nothing else covers: each is shown this often in one epoch.
_REPEAT = 3


@dataclass(frozen=True, slots=True)
class OwnExample:
    """One line of a file: `kind` is the last `# kind:` above it, `group` numbers the blocks of the file."""

    text: str
    targets: Targets
    kind: str
    group: int
    split: str


def read_examples(path: Path) -> Iterator[OwnExample]:
    """Every example of one file.

    Raises:
        ConfigurationError: a line has no separator, no text, or an unknown label.
    """
    kind, group, split, inside = "", 0, "", False
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line:
            inside = False
            continue
        if line.startswith("#") and _SEPARATOR not in line:
            kind = line.partition(":")[2].strip() or kind
            continue
        names, separator, text = line.partition(_SEPARATOR)
        text = text.strip().replace("\\n", "\n")
        if not separator or not text:
            raise ConfigurationError(f"{path.name}, line {number}: expected 'labels | text'")
        if not inside:
            inside, group, split = True, group + 1, fold_of(text)
        yield OwnExample(text, _targets(names, f"{path.name}, line {number}"), kind, group, split)


def _targets(names: str, place: str) -> Targets:
    targets = benign()
    for name in (part.strip() for part in names.split(",")):
        if name in {_NONE, ""}:
            continue
        label = name.removeprefix("?")
        if label not in LABELS:
            raise ConfigurationError(f"{place}: there is no label {label!r}; known: {', '.join(LABELS)}")
        if name.startswith("?"):
            targets.pop(label, None)
        else:
            targets[label] = 1.0
    if targets.get("hate.sexism") == 1.0:
        targets["hate"] = 1.0
    return targets


def own_sources() -> list[Source]:
    """One source per file, so that results are shown per topic and language."""
    return [
        Source(
            f"own_{path.stem}",
            path.stem.rpartition(".")[2],
            "Apache-2.0",
            (path.name,),
            _reader(path),
            5_000,
            "hash",
            _REPEAT,
        )
        for path in sorted(EXAMPLES.glob("*.txt"))
    ]


def _reader(path: Path) -> _Read:
    return _Read(path)


@dataclass(frozen=True, slots=True)
class _Read:
    path: Path

    def __call__(self, _folder: Path) -> Iterator[Example]:
        for one in read_examples(self.path):
            yield GroupedExample(one.text, one.targets, one.split, group=f"{self.path.name}/{one.group}")
