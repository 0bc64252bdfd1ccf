"""What workers tell the dispatcher about batches, through Postgres: done markers, started markers and signs of life.

Promises: a marker written here is seen by the next read. It does not promise to survive a crash of Postgres (the tables are
UNLOGGED): a lost marker makes the dispatcher send the batch again, which is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.storage.database import Database

__all__ = ["BatchBoard", "FinishedBatch", "WorkerSign"]

#: A marker older than this belongs to nobody: the dispatcher that waited for it is gone.
_KEEP = "10 minutes"


@dataclass(frozen=True, slots=True)
class FinishedBatch:
    """One done marker. `rejects` are (index in the batch, reason, message)."""

    batch_id: str
    outcome: str
    rejects: list[tuple[int, str, str]]
    detail: str


@dataclass(frozen=True, slots=True)
class WorkerSign:
    """The latest sign of life of one worker: the batches it runs, and the dependency it waits for, if any."""

    worker: str
    running: frozenset[str]
    problem: str | None


class BatchBoard:
    """The notice board between workers and dispatchers. Thread-safe. Methods raise what `Database.cursor` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def finished(self, batch_ids: Iterable[str]) -> list[FinishedBatch]:
        """Which of these batches have a marker."""
        with self._database.cursor("finished_batches") as cursor:
            cursor.execute(
                "SELECT batch_id::text, outcome, rejects, detail FROM batch_done WHERE batch_id = ANY (%s::uuid[])",
                ("{" + ",".join(batch_ids) + "}",),
            )
            return [
                FinishedBatch(b, o, [(r[0], r[1], r[2]) for r in rejects], d) for b, o, rejects, d in cursor.fetchall()
            ]

    def give_up(self, batch_id: str, outcome: str, detail: str) -> None:
        """A worker hands the batch back: `retry`, `suspect` or `misconfigured`. A `done` marker is never overwritten."""
        with self._database.cursor("give_up") as cursor:
            cursor.execute(
                "INSERT INTO batch_done (batch_id, outcome, detail) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (batch_id, outcome, detail[:1000]),
            )

    def started(self, batch_id: str, worker: str) -> None:
        """A suspected batch is about to run here."""
        with self._database.cursor("started") as cursor:
            cursor.execute(
                "INSERT INTO batch_started (batch_id, worker) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (batch_id, worker),
            )

    def was_started(self, batch_id: str) -> bool:
        """Whether a worker began this suspected batch."""
        with self._database.cursor("was_started") as cursor:
            cursor.execute("SELECT 1 FROM batch_started WHERE batch_id = %s", (batch_id,))
            return cursor.fetchone() is not None

    def beat(self, worker: str, running: Iterable[str], problem: str | None) -> None:
        """This worker lives, runs these batches, and waits for `problem`."""
        with self._database.cursor("heartbeat") as cursor:
            cursor.execute(
                "INSERT INTO worker_heartbeat (worker, seen_at, running, problem) VALUES (%s, now(), %s::uuid[], %s)"
                " ON CONFLICT (worker) DO UPDATE SET seen_at = now(), running = excluded.running, problem = excluded.problem",
                (worker, "{" + ",".join(running) + "}", problem),
            )

    def leave(self, worker: str) -> None:
        """This worker ends in good order."""
        with self._database.cursor("leave") as cursor:
            cursor.execute("DELETE FROM worker_heartbeat WHERE worker = %s", (worker,))

    def signs(self, fresh_s: float = 4.0) -> list[WorkerSign]:
        """Workers that gave a sign of life in the last `fresh_s` seconds."""
        with self._database.cursor("signs") as cursor:
            cursor.execute(
                "SELECT worker, running::text[], problem FROM worker_heartbeat WHERE seen_at > now() - %s * interval '1 second'",
                (fresh_s,),
            )
            return [WorkerSign(worker, frozenset(running), problem) for worker, running, problem in cursor.fetchall()]

    def sweep(self) -> None:
        """Remove what nobody waits for any more."""
        with self._database.cursor("sweep") as cursor:
            cursor.execute(f"DELETE FROM batch_done WHERE finished_at < now() - interval '{_KEEP}'")
            cursor.execute(f"DELETE FROM batch_started WHERE started_at < now() - interval '{_KEEP}'")
            cursor.execute(f"DELETE FROM worker_heartbeat WHERE seen_at < now() - interval '{_KEEP}'")
