"""What was published, written down by the publisher itself: the checker's only knowledge of what should have come out.

A file of JSON lines. An event's line is there before the event is sent, a line with the broker's acknowledgement after it. It
shares nothing with the pipeline: not the codec, not the ids of decisions, not the database.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

__all__ = ["Bad", "Headers", "Journal", "Planned", "Published", "read_journal"]

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """One event to publish, and what must become of it: a decision (`expect`) or a dead letter (`reason`).

    `id` is unique and begins with the run's name; it is the event's id or, where the bytes are no event, somewhere in them.
    """

    id: str
    key: bytes
    value: bytes
    headers: Headers = ()
    #: Fields of the decision by dotted path: that it is the decision about this very content.
    expect: Mapping[str, Any] | None = None
    #: Why it must be dead-lettered; None when it must be decided.
    reason: str | None = None
    #: How often it is published: a repetition must not have a second effect.
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Bad:
    """An event that must be found as a dead letter, byte for byte."""

    key: bytes
    value: bytes
    headers: Headers
    reason: str


@dataclass(slots=True)
class Published:
    """A journal, read back."""

    run: str
    good: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    bad: dict[str, Bad] = field(default_factory=dict)
    #: Records that the broker acknowledged, by event: more than one for a repetition.
    acknowledged: dict[str, int] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """All acknowledged records."""
        return sum(self.acknowledged.values())


class Journal:
    """Writes the file. Thread-safe; a context manager."""

    def __init__(self, path: Path, run: str) -> None:
        self._file = path.open("wb")
        self._lock = threading.Lock()
        self._write({"run": run})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()

    def intend(self, event: Planned) -> None:
        """It is about to be sent."""
        line: dict[str, Any] = {"id": event.id}
        if event.reason is None:
            line["expect"] = dict(event.expect or {})
        else:
            line["reason"] = event.reason
            line["key"] = _text(event.key)
            line["value"] = _text(event.value)
            line["headers"] = [[name, _text(value)] for name, value in event.headers]
        self._write(line)

    def acknowledge(self, event_id: str, partition: int, offset: int) -> None:
        """One record of it is on the topic."""
        self._write({"ack": event_id, "partition": partition, "offset": offset})

    def flush(self) -> None:
        """Everything so far is in the file."""
        with self._lock:
            self._file.flush()

    def _write(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            self._file.write(orjson.dumps(line) + b"\n")


def read_journal(path: Path) -> Published:
    """Read a journal that is complete."""
    with path.open("rb") as file:
        published = Published(orjson.loads(file.readline())["run"])
        for raw in file:
            line = orjson.loads(raw)
            if "ack" in line:
                published.acknowledged[line["ack"]] = published.acknowledged.get(line["ack"], 0) + 1
            elif "expect" in line:
                published.good[line["id"]] = line["expect"]
            else:
                headers = tuple((name, _bytes(value)) for name, value in line["headers"])
                published.bad[line["id"]] = Bad(_bytes(line["key"]), _bytes(line["value"]), headers, line["reason"])
    return published


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
