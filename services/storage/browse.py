"""Reading a result table for people: the latest rows, the rows of an event, and rows as they come.

Promises: `ResultTail` hands out every row that becomes visible, each once, although rows commit later than they are stamped. It
looks back `LOOK_BACK_S` behind the newest stamp it saw, and remembers the ids in that window; a row that commits later than that,
or by a worker whose clock is that far behind, is missed. Not for the hot path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from services.storage.database import Database

__all__ = ["LOOK_BACK_S", "ResultReader", "ResultTail", "ShownResult"]

#: The longest a worker may take from stamping a batch to committing it: its patience and one statement.
LOOK_BACK_S = 20.0
_PAGE = 2_000
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ID = "00000000-0000-0000-0000-000000000000"

_COLUMNS = "decision_id::text, event_id, tenant, decided_at, data::text"


@dataclass(frozen=True, slots=True)
class ShownResult:
    """One row. `data` is the JSON text of the published event's `data`, as Postgres renders it: one line."""

    decision_id: str
    event_id: str
    tenant: str
    decided_at: datetime
    data: str


class ResultReader:
    """The result table of one capability. Thread-safe. Methods raise what `Database.cursor` raises."""

    def __init__(self, database: Database, table: str) -> None:
        self._database = database
        self._table = sql.Identifier(table).as_string(None)

    def latest(self, limit: int, *, tenant: str | None = None) -> list[ShownResult]:
        """The newest rows, oldest first."""
        query = (
            f"SELECT {_COLUMNS} FROM {self._table} WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s"
            " ORDER BY decided_at DESC, decision_id DESC LIMIT %(limit)s"
        )
        return self._rows("latest_results", query, {"tenant": tenant, "limit": limit})[::-1]

    def of_decisions(self, decision_ids: Iterable[str], *, tenant: str | None = None) -> list[ShownResult]:
        """The rows with these ids, oldest first."""
        query = (
            f"SELECT {_COLUMNS} FROM {self._table} WHERE decision_id = ANY (%(ids)s::uuid[])"
            " AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s) ORDER BY decided_at, decision_id"
        )
        return self._rows("results_of_decisions", query, {"ids": list(decision_ids), "tenant": tenant})

    def of_event(self, event_id: str, *, tenant: str | None = None) -> list[ShownResult]:
        """The rows of events with this id: one for each source and tenant that used it.

        Reads the whole table. An index would cost every message; who knows the source computes the decision's id instead.
        """
        query = (
            f"SELECT {_COLUMNS} FROM {self._table} WHERE event_id = %(event)s"
            " AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s) ORDER BY decided_at, decision_id"
        )
        return self._rows("results_of_event", query, {"event": event_id, "tenant": tenant})

    def ids_since(self, bound: datetime) -> Iterator[tuple[str, datetime]]:
        """(decision id, stamp) of every row stamped at or after `bound`, in the order of the stamps."""
        after: tuple[datetime, str] = (bound, _NO_ID)
        while True:
            with self._database.cursor("result_ids") as cursor:
                cursor.execute(
                    f"SELECT decision_id::text, decided_at FROM {self._table} WHERE (decided_at, decision_id) > (%s, %s::uuid)"
                    " ORDER BY decided_at, decision_id LIMIT %s",
                    (*after, _PAGE),
                )
                page = [(row[0], row[1]) for row in cursor.fetchall()]
            yield from page
            if len(page) < _PAGE:
                return
            after = (page[-1][1], page[-1][0])

    def now(self) -> datetime:
        """The database's clock."""
        with self._database.cursor("now") as cursor:
            cursor.execute("SELECT now()")
            row = cursor.fetchone()
            return row[0] if row is not None else datetime.now(UTC)

    def _rows(self, name: str, query: str, parameters: dict[str, object]) -> list[ShownResult]:
        with self._database.cursor(name) as cursor:
            cursor.execute(query, parameters)
            return [ShownResult(*row) for row in cursor.fetchall()]


class ResultTail:
    """Rows as they come. One thread. A `poll` that raised can be repeated: nothing is lost."""

    def __init__(self, reader: ResultReader, *, tenant: str | None = None, look_back_s: float = LOOK_BACK_S) -> None:
        self._reader = reader
        self._tenant = tenant
        self._look_back = timedelta(seconds=look_back_s)
        self._newest = _LONG_AGO
        self._from = _LONG_AGO
        self._seen: dict[str, datetime] = {}

    def start(self, limit: int) -> list[ShownResult]:
        """The newest `limit` rows, oldest first; what is there beside them counts as seen."""
        newest = max((row.decided_at for row in self._reader.latest(1)), default=None)
        if newest is None:
            return []  # the table is empty: whatever comes is new
        self._newest = newest
        self._from = self._bound()
        # In this order: a row that commits between the two statements is shown now, or by the next poll.
        self._seen = dict(self._reader.ids_since(self._from))
        shown = self._reader.latest(limit, tenant=self._tenant) if limit else []
        self._seen |= {row.decision_id: row.decided_at for row in shown}
        return shown

    def poll(self) -> Iterator[Sequence[ShownResult]]:
        """Pages of the rows that became visible since the last call; within a call in the order of their stamps."""
        fresh: dict[str, datetime] = {}
        for decision_id, stamp in self._reader.ids_since(self._from):
            if decision_id not in self._seen:
                fresh[decision_id] = stamp
                if len(fresh) == _PAGE:
                    yield self._take(fresh)
                    fresh = {}
        if fresh:
            yield self._take(fresh)
        self._from = self._bound()
        self._seen = {decision_id: stamp for decision_id, stamp in self._seen.items() if stamp >= self._from}

    def _take(self, fresh: dict[str, datetime]) -> Sequence[ShownResult]:
        rows = self._reader.of_decisions(fresh, tenant=self._tenant)
        self._seen |= fresh
        self._newest = max(self._newest, *fresh.values())
        return rows

    def _bound(self) -> datetime:
        """A worker whose clock is ahead must not push the window past the others."""
        if self._newest == _LONG_AGO:
            return _LONG_AGO
        return max(self._from, min(self._newest, self._reader.now()) - self._look_back)
