"""The rows of a query for training data, kept once as JSON lines.

A run that is resumed, exported and evaluated must see the rows that it was trained on, and a live table is another one every minute.
Promises: the file is whole or not there, and only its owner can read it. It holds texts of users: it lies in the run's folder and goes
with that. Another query, even under the same name, gets another file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from services.errors import ConfigurationError
from services.training.config import PostgresConfig

__all__ = ["keep_rows", "kept_rows"]

#: Below a run's folder.
_FOLDER = "rows"


def kept_rows(run: Path, config: PostgresConfig) -> Path:
    """Where the rows of this query lie, or will."""
    query = hashlib.sha256(config.query.encode()).hexdigest()[:12]
    return run / _FOLDER / f"{config.name}-{query}.jsonl"


def keep_rows(config: PostgresConfig, target: Path, query: Callable[[str], Iterable[Mapping[str, Any]]]) -> None:
    """Write each row that `query` gives as a JSON object to `target`.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    part = target.with_name(target.name + ".part")
    # A numeric of Postgres is a Decimal; as text it is read like any other cell.
    lines = (json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in query(config.query))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        part.touch(0o600, exist_ok=False)
        with part.open("w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigurationError(
            f"the rows of {config.name} cannot be kept in {target.parent}: {error.strerror}"
        ) from error
