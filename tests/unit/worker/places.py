"""Postgres' place in a worker's tests: a result table and a notice board in memory, which fail when they are told to.

Held to the real part's contract by tests/contract. Ids need not be UUIDs here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from consumers.work_order import OrderedItem, WorkOrder
from services.errors import DeadLetterReason, PermanentError, TidegateError, TransientError
from services.storage import FinishedBatch

__all__ = ["Board", "Table", "order_of"]


class Table:
    """A result table. `refuses` holds texts whose row it will not take; `faults` are raised by the next calls."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.markers: dict[str, list[list[Any]]] = {}
        self.refuses: set[str] = set()
        self.faults: list[TidegateError | None] = []

    def existing(self, decision_ids: Iterable[str]) -> set[str]:
        self._fail()
        return set(decision_ids) & self.rows.keys()

    def store(self, batch_id: str, rows_json: str, rejects_json: str) -> None:
        self.keep(rows_json)
        self.markers[batch_id] = json.loads(rejects_json)

    def keep(self, rows_json: str) -> None:
        self._fail()
        rows = json.loads(rows_json)
        if any(row["event_id"] in self.refuses for row in rows):
            raise PermanentError(DeadLetterReason.INTERNAL, "Postgres refuses the data: DataError")
        for row in rows:
            self.rows.setdefault(row["decision_id"], row)

    def _fail(self) -> None:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault


class Board:
    """The notice board beside `table`, whose done markers it shows."""

    def __init__(self, table: Table | None = None) -> None:
        self._table = table or Table()
        self.given_up: dict[str, tuple[str, str]] = {}
        self.begun: list[str] = []
        self.away = False

    def give_up(self, batch_id: str, outcome: str, detail: str) -> None:
        self._reach()
        if batch_id not in self._table.markers:
            self.given_up.setdefault(batch_id, (outcome, detail[:1000]))

    def started(self, batch_id: str, worker: str) -> None:
        self._reach()
        if batch_id not in self.begun:
            self.begun.append(batch_id)

    def was_started(self, batch_id: str) -> bool:
        self._reach()
        return batch_id in self.begun

    def finished(self, batch_ids: Iterable[str]) -> list[FinishedBatch]:
        self._reach()
        return [found for found in map(self._marker, batch_ids) if found is not None]

    def _marker(self, batch_id: str) -> FinishedBatch | None:
        if batch_id in self._table.markers:
            rejects = [(place, reason, message) for place, reason, message in self._table.markers[batch_id]]
            return FinishedBatch(batch_id, "done", rejects, "")
        given_up = self.given_up.get(batch_id)
        return FinishedBatch(batch_id, given_up[0], [], given_up[1]) if given_up is not None else None

    def _reach(self) -> None:
        if self.away:
            raise TransientError("Postgres: it is away")


def order_of(*texts: Any, alone: bool = False, batch_id: str = "b-1", ids: list[str] | None = None) -> WorkOrder:
    """A batch for the toy capability; a text that is no string makes data that its schema refuses."""
    items = [
        OrderedItem(
            (ids or [f"d-{n}" for n in range(len(texts))])[n],
            "aa",
            "default",
            f"e-{n}",
            0,
            n,
            1_700_000_000.0,
            "key",
            {"toy_id": str(n), "text": text},
        )
        for n, text in enumerate(texts)
    ]
    return WorkOrder(batch_id, "toy", alone, items)
