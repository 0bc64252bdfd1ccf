"""The table of dead letters: original bytes, why, and whether they were replayed.

Promises: a record that was stored once is stored once, however often it is delivered (`id` is a function of its topic,
partition, offset and bytes); value, key and headers come back byte for byte. It does not publish; the dispatcher does.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.storage.database import Database

__all__ = ["DeadLetter", "DeadLetterStore", "dead_letter_id", "utc_from_ms"]

_NAMESPACE = uuid.UUID("6d6f7df3-6d0b-5c3c-9a5e-4f6b1f4a8e21")

_COLUMNS = (
    'id::text, capability, topic, partition, "offset", record_timestamp, key, value, headers, reason, detail, event_id,'
    " component, version, failed_at, replayed_at, replay_count"
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that could not become a result."""

    id: str
    capability: str
    topic: str
    partition: int
    offset: int
    record_timestamp: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    reason: str
    detail: str
    event_id: str | None
    component: str
    version: str
    failed_at: datetime
    replayed_at: datetime | None = None
    replay_count: int = 0


def dead_letter_id(topic: str, partition: int, offset: int, value: bytes | None) -> str:
    """The same record gives the same id. The bytes are part of it because a re-created topic counts from zero again."""
    digest = uuid.uuid5(_NAMESPACE, (value or b"").hex()).hex
    return str(uuid.uuid5(_NAMESPACE, f"{topic}|{partition}|{offset}|{digest}"))


class DeadLetterStore:
    """Thread-safe. Methods raise what `Database.cursor` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, letters: Sequence[DeadLetter]) -> None:
        """Store these; those already there stay as they are."""
        with self._database.cursor("dead_letter") as cursor:
            cursor.executemany(
                'INSERT INTO dead_letter (id, capability, topic, partition, "offset", record_timestamp, key, value, headers,'
                " reason, detail, event_id, component, version, failed_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [
                    (
                        e.id, e.capability, e.topic, e.partition, e.offset, e.record_timestamp, e.key, e.value,
                        _headers_to_json(e.headers), e.reason, _printable(e.detail), _printable(e.event_id),
                        e.component, e.version, e.failed_at,
                    )
                    for e in letters
                ],
            )  # fmt: skip

    def find(
        self,
        *,
        ids: Sequence[str] | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        event_id: str | None = None,
        pending_only: bool = False,
        limit: int = 100,
    ) -> list[DeadLetter]:
        """Dead letters, newest first. `ids` may be prefixes of ids, as a person types them."""
        where, parameters = _conditions(ids, reason, since, event_id, pending_only=pending_only)
        query = f"SELECT {_COLUMNS} FROM dead_letter WHERE {where} ORDER BY failed_at DESC, id LIMIT %s"
        with self._database.cursor("find_dead_letters") as cursor:
            cursor.execute(query, [*parameters, limit])
            return [_from_row(row) for row in cursor.fetchall()]

    def find_ids(
        self,
        *,
        ids: Sequence[str] | None = None,
        reason: str | None = None,
        since: datetime | None = None,
        pending_only: bool = False,
    ) -> list[str]:
        """Ids of all the letters that `find` would show, oldest first: the order in which their messages came."""
        where, parameters = _conditions(ids, reason, since, None, pending_only=pending_only)
        query = f'SELECT id::text FROM dead_letter WHERE {where} ORDER BY failed_at, topic, partition, "offset"'
        with self._database.cursor("find_dead_letter_ids") as cursor:
            cursor.execute(query, parameters)
            return [row[0] for row in cursor.fetchall()]

    def get(self, identifier: str) -> DeadLetter | None:
        """The letter with exactly this id."""
        with self._database.cursor("get_dead_letter") as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM dead_letter WHERE id = %s::uuid", (identifier,))
            row = cursor.fetchone()
            return None if row is None else _from_row(row)

    def count_by_reason(self) -> list[tuple[str, int, int]]:
        """(reason, letters, of which not replayed), most first."""
        with self._database.cursor("count_dead_letters") as cursor:
            cursor.execute(
                "SELECT reason, count(*), count(*) FILTER (WHERE replayed_at IS NULL) FROM dead_letter GROUP BY 1 ORDER BY 2 DESC, 1"
            )
            return [(r[0], r[1], r[2]) for r in cursor.fetchall()]

    def mark_replayed(self, identifier: str) -> None:
        """This letter's bytes (or a mended copy) are on the input topic again, acknowledged."""
        with self._database.cursor("mark_replayed") as cursor:
            cursor.execute(
                "UPDATE dead_letter SET replayed_at = now(), replay_count = replay_count + 1 WHERE id = %s",
                (identifier,),
            )


def _conditions(
    ids: Sequence[str] | None, reason: str | None, since: datetime | None, event_id: str | None, *, pending_only: bool
) -> tuple[str, list[Any]]:
    where, parameters = ["true"], list[Any]()
    if ids:
        where.append("id::text LIKE ANY (%s)")
        # An id has hexadecimal digits and hyphens; anything else, nothing included, must not match every letter.
        parameters.append([f"{i.lower()}%" if re.fullmatch("[0-9a-fA-F-]+", i) else "no id" for i in ids])
    if reason:
        where.append("reason = %s")
        parameters.append(reason)
    if since:
        where.append("failed_at >= %s")
        parameters.append(since)
    if event_id is not None:
        where.append("event_id = %s")
        parameters.append(_printable(event_id))
    if pending_only:
        where.append("replayed_at IS NULL")
    return " AND ".join(where), parameters


def _from_row(row: tuple[Any, ...]) -> DeadLetter:
    values = list(row)
    values[8] = tuple((name, base64.b64decode(value)) for name, value in values[8])
    return DeadLetter(*values)


def _headers_to_json(headers: Sequence[tuple[str, bytes | None]]) -> str:
    return json.dumps([[_printable(name), base64.b64encode(value or b"").decode()] for name, value in headers])


def _printable(text: str | None) -> str | None:
    """Postgres text cannot hold NUL or lone surrogates, which is exactly what such an event id may contain."""
    return text if text is None else text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()


def utc_from_ms(timestamp_ms: int) -> datetime:
    """A Kafka timestamp as a datetime; -1 (none) and nonsense become the epoch."""
    try:
        return datetime.fromtimestamp(max(timestamp_ms, 0) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
