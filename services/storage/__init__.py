"""Postgres: the ledger of effects. Only this package imports psycopg."""

from services.storage.batches import BatchBoard, FinishedBatch, WorkerSign
from services.storage.browse import ResultReader, ResultTail, ShownResult
from services.storage.database import Database
from services.storage.dead_letters import DeadLetter, DeadLetterStore, dead_letter_id, utc_from_ms
from services.storage.dsn import masked
from services.storage.migrate import SPINE_MIGRATIONS, migrate
from services.storage.results import ResultStore, StoredResult
from services.storage.rows import stream_rows

__all__ = [
    "SPINE_MIGRATIONS",
    "BatchBoard",
    "Database",
    "DeadLetter",
    "DeadLetterStore",
    "FinishedBatch",
    "ResultReader",
    "ResultStore",
    "ResultTail",
    "ShownResult",
    "StoredResult",
    "WorkerSign",
    "dead_letter_id",
    "masked",
    "migrate",
    "stream_rows",
    "utc_from_ms",
]
