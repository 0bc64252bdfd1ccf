"""A user's own texts: CSV, JSON lines, or rows of a Postgres query, with labels that may be missing.

Promises: reads row by row, with memory bounded by `cap`, not by the file; a cell that is empty, null or NaN leaves the label
open, and so does a field that a JSON line leaves out; a cell that is no number between 0 and 1 (nor yes/no, true/false), a quotation
mark that is never closed and a file in another encoding are errors that name row and column. A query runs once per run, when it is
trained: its rows are kept in the run's folder, so that a table that goes on growing does not change what the run is made of. Which
training texts are kept beyond `cap` is a fair draw that depends on the seed of the source's name only.
"""

from __future__ import annotations

import csv
import json
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.errors import ConfigurationError
from services.training.config import PostgresConfig, TableConfig
from services.training.data.folds import fold_of
from services.training.data.labels import LABELS
from services.training.data.sources import Example, Source, Targets

__all__ = ["postgres_source", "table_source"]

_WORDS = {"true": 1.0, "yes": 1.0, "y": 1.0, "是": 1.0, "false": 0.0, "no": 0.0, "n": 0.0, "否": 0.0}
_OPEN = {"", "nan", "null", "none", "na", "n/a", "?"}
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Held-out texts kept at most: enough for tight intervals.
_HELD_OUT_CAP = 20_000

Row = Mapping[str, Any]


def table_source(table: TableConfig) -> Source:
    """The source of a CSV or JSONL file; its folder is the file's.

    Raises:
        ConfigurationError: the file is not there, is neither, or its encoding has no such name.
    """
    if not table.path.is_file():
        raise ConfigurationError(
            f"the table {table.path} is not there: mend its `path:` under data.tables (relative paths are relative to the "
            f"configuration's folder)"
        )
    form = table.format or {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(table.path.suffix.lower())
    if form is None:
        raise ConfigurationError(f"{table.path}: is it csv or jsonl? Say so with `format:` in the configuration")
    _check_encoding(table)
    rows = _csv_rows if form == "csv" else _json_rows

    def read(_folder: Path) -> Iterator[Example]:
        columns = _Columns(table.path.name, table.text, table.labels, table.split, alike=form == "csv")
        yield from _sampled(columns.examples(rows(table.path, table.encoding)), table.cap, table.path.stem)

    return Source(
        table.path.stem, table.language or "", table.licence, (table.path.name,), read, table.cap,
        table.split or "hash", table.repeat, table.trainable,
    )  # fmt: skip


def postgres_source(config: PostgresConfig, kept: Path) -> Source:
    """The source of a query whose rows lie in `kept` (see `query_rows`)."""

    def read(_folder: Path) -> Iterator[Example]:
        columns = _Columns(config.name, config.text, config.labels, None, alike=True)
        yield from _sampled(columns.examples(_json_rows(kept, "utf-8")), config.cap, config.name)

    return Source(
        config.name, config.language or "", config.licence, (kept.name,), read, config.cap, "hash", config.repeat, config.trainable
    )  # fmt: skip


def _check_encoding(table: TableConfig) -> None:
    try:
        table.path.open(encoding=table.encoding).close()
    except OSError as error:
        raise ConfigurationError(f"the table {table.path} cannot be read: {error.strerror}") from error
    except LookupError as error:
        raise ConfigurationError(
            f"{table.path.name}: there is no encoding {table.encoding!r}; utf-8, utf-16, gb18030, big5 and latin-1 are some that exist"
        ) from error


@dataclass(frozen=True, slots=True)
class _Columns:
    name: str
    text: str
    labels: Mapping[str, str]
    split: str | None
    #: Every row has the columns of the first, so that a missing one is told before a million rows are read.
    alike: bool

    def examples(self, rows: Iterable[tuple[int, Row]]) -> Iterator[Example]:
        columns = self.labels or {label: label for label in LABELS}
        wanted = {self.text, *columns.values()}
        first: list[str] | None = None
        for number, row in rows:
            if first is None:
                first = [str(name) for name in row]
                if self.alike:
                    self._check(wanted - set(row), first)
            wanted -= row.keys()
            text = row.get(self.text)
            if not isinstance(text, str) or not text.strip():
                continue
            if _SURROGATE.search(text):
                raise ConfigurationError(
                    f"{self.name}, row {number}: the text holds half of a surrogate pair (an escape like \\ud83d without its other "
                    f"half), which is no character and cannot be encoded: write it whole, or leave the row out"
                )
            yield Example(text, self._targets(row, columns, number), self._split(row, text, number))
        if first is None:
            raise ConfigurationError(f"{self.name} has no rows")
        self._check(wanted, first)

    def _check(self, missing: set[str], there: list[str]) -> None:
        """`missing` are columns that no row had, `there` those of the first row."""
        if self.text in missing:
            raise ConfigurationError(f"{self.name} has no column {self.text!r}; it has: {', '.join(there)}")
        if self.labels and missing:
            raise ConfigurationError(
                f"{self.name} has no column {', '.join(sorted(missing))}; it has: {', '.join(there)}"
            )
        if not self.labels and missing.issuperset(LABELS):
            raise ConfigurationError(
                f"{self.name}: no column is named like a label ({', '.join(LABELS)}); say which is which with `labels:`"
            )

    def _targets(self, row: Row, columns: Mapping[str, str], number: int) -> Targets:
        targets: Targets = {}
        for label, column in columns.items():
            value = _probability(row.get(column), f"{self.name}, row {number}, column {column}")
            if value is not None:
                targets[label] = value
        return targets

    def _split(self, row: Row, text: str, number: int) -> str:
        if self.split is None:
            return fold_of(text)
        split = str(row.get(self.split, "")).strip().lower()
        split = {"dev": "valid", "validation": "valid"}.get(split, split)
        if split not in {"train", "valid", "test"}:
            raise ConfigurationError(f"{self.name}, row {number}: the split is {split!r}, not train, valid or test")
        return split


def _probability(value: object, place: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return float(value)
    word = str(value).strip().lower()
    if word in _OPEN:
        return None
    if word in _WORDS:
        return _WORDS[word]
    try:
        number = float(word)
    except ValueError:
        raise ConfigurationError(f"{place}: {word[:20]!r} is not 0, 1, a probability, yes or no") from None
    if math.isnan(number):
        return None
    if not 0 <= number <= 1:
        raise ConfigurationError(f"{place}: {number} is not between 0 and 1")
    return number


def _sampled(examples: Iterable[Example], cap: int, seed: str) -> Iterator[Example]:
    """At most `cap` training and a bounded number of held-out examples: reservoir sampling (algorithm R) per split."""
    randomness = random.Random(seed)
    kept: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
    seen = dict.fromkeys(kept, 0)
    for example in examples:
        room = cap if example.split == "train" else _HELD_OUT_CAP
        seen[example.split] += 1
        pool = kept[example.split]
        if len(pool) < room:
            pool.append(example)
        elif (place := randomness.randrange(seen[example.split])) < room:
            pool[place] = example
    for pool in kept.values():
        yield from pool


def _csv_rows(path: Path, encoding: str) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(16 * 1024 * 1024)
    with path.open(encoding=encoding, newline="") as file:
        # Strict: otherwise a stray quotation mark makes one text of all rows up to the next one, or up to the end.
        reader = csv.DictReader(file, strict=True)
        number = 1
        try:
            for number, row in enumerate(reader, start=2):
                yield number, row
        except UnicodeError as error:
            raise _wrong_encoding(path, encoding, error) from error
        except csv.Error as error:
            raise ConfigurationError(
                f"{path.name}, row {number + 1}, which begins before line {reader.line_num}, is not CSV: {error}. A text with a comma, "
                f"a quotation mark or a line break stands in quotation marks, and those inside it are written twice"
            ) from error


def _json_rows(path: Path, encoding: str) -> Iterator[tuple[int, Row]]:
    number = 0
    try:
        with path.open(encoding=encoding) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ConfigurationError(f"{path.name}, line {number} is not a JSON object")
                    yield number, row
    except UnicodeError as error:
        raise _wrong_encoding(path, encoding, error) from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path.name}, line {number} is not JSON: {error.msg}") from error


def _wrong_encoding(path: Path, encoding: str, error: UnicodeError) -> ConfigurationError:
    # UTF-16 without its mark is a UnicodeError that knows no place.
    place = f"byte {error.start} cannot be read" if isinstance(error, UnicodeDecodeError) else str(error)
    return ConfigurationError(
        f"{path.name} is not {encoding} ({place}): say its encoding with `encoding:`, "
        f"for example gb18030 for Chinese files of Windows"
    )
