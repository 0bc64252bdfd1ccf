"""Result tables: one statement stores a batch with its done marker, and stored rows are what gets published.

Every capability's table has these columns (a migration may add generated columns and indexes of its own):

    decision_id uuid PRIMARY KEY, content_hash bytea, tenant text, event_id text, input_partition integer,
    input_offset bigint, received_at timestamptz, decided_at timestamptz, output_key text, data jsonb

An index on (decided_at, decision_id) keeps reading the newest results quick (services/storage/browse.py).

Promises: the first writer of a `decision_id` wins and later ones change nothing; a batch's rows and its marker become
durable together or not at all. Rows are inserted in the order of their ids, because overlapping re-sent batches deadlocked in
190 of 240 statements without (measured 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from services.storage.database import Database

__all__ = ["ResultStore", "StoredResult"]

# One JSON parameter instead of arrays: psycopg dumps arrays element by element, five times dearer (measured 2026-11).
_KEEP = """
INSERT INTO {table} (decision_id, content_hash, tenant, event_id, input_partition, input_offset, received_at, decided_at,
                     output_key, data)
SELECT decision_id, decode(content_hash, 'hex'), tenant, event_id, input_partition, input_offset,
       to_timestamp(received_at), to_timestamp(decided_at), output_key, data
FROM jsonb_to_recordset(%s::jsonb) AS r(
    decision_id uuid, content_hash text, tenant text, event_id text, input_partition integer, input_offset bigint,
    received_at double precision, decided_at double precision, output_key text, data jsonb)
ORDER BY decision_id ON CONFLICT DO NOTHING
"""

_STORE = (
    "WITH stored AS ("
    + _KEEP
    + """)
INSERT INTO batch_done (batch_id, outcome, rejects) VALUES (%s, 'done', %s::jsonb)
ON CONFLICT (batch_id) DO UPDATE SET outcome = 'done', rejects = excluded.rejects, detail = ''
"""
)

_READ = """
SELECT decision_id::text, encode(content_hash, 'hex'), tenant, input_partition, input_offset,
       to_char(decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), output_key, data::text
FROM {table} WHERE decision_id = ANY (%s::uuid[])
"""

_EXISTING = "SELECT decision_id::text FROM {table} WHERE decision_id = ANY (%s::uuid[])"


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One row, as an output event is rendered from it. `input_partition` and `input_offset` name the record that made it."""

    decision_id: str
    content_hash: str
    tenant: str
    input_partition: int
    input_offset: int
    decided_at: str
    output_key: str | None
    data: str  # JSON text as Postgres renders it: the same bytes every time


class ResultStore:
    """The result table of one capability. Thread-safe. Every method raises what `Database.cursor` raises."""

    def __init__(self, database: Database, table: str) -> None:
        self._database = database
        name = sql.Identifier(table)
        self._store, self._keep, self._read, self._existing = (
            sql.SQL(text).format(table=name).as_string(None) for text in (_STORE, _KEEP, _READ, _EXISTING)
        )

    def store(self, batch_id: str, rows_json: str, rejects_json: str) -> None:
        """Insert the rows (a JSON array of objects with the columns' names) and mark the batch done."""
        with self._database.cursor("store_batch") as cursor:
            cursor.execute(self._store, (rows_json, batch_id, rejects_json))

    def keep(self, rows_json: str) -> None:
        """Insert the rows, and mark nothing. For the batch that Postgres refused as a whole: see `BatchRunner`."""
        with self._database.cursor("keep_rows") as cursor:
            cursor.execute(self._keep, (rows_json,))

    def existing(self, decision_ids: Iterable[str]) -> set[str]:
        """Which of these have a row already."""
        with self._database.cursor("existing") as cursor:
            cursor.execute(self._existing, (_uuid_array(decision_ids),))
            return {row[0] for row in cursor.fetchall()}

    def read(self, decision_ids: Iterable[str]) -> dict[str, StoredResult]:
        """The stored rows of these ids, by id; ids without a row are absent."""
        with self._database.cursor("read_results") as cursor:
            cursor.execute(self._read, (_uuid_array(decision_ids),))
            return {row[0]: StoredResult(*row) for row in cursor.fetchall()}


def _uuid_array(ids: Iterable[str]) -> str:
    """A Postgres array literal. Safe without quoting: the ids are UUIDs that this process made."""
    return "{" + ",".join(ids) + "}"
