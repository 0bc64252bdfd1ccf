"""One pool of Postgres connections, with every driver error translated into Tidegate's three kinds.

Promises: a statement either returns, or raises `TransientError` (Postgres is away, slow or restarting; whether the statement
took effect is unknown, so statements here are idempotent) or `ConfigurationError` (table or column missing: run the
migrations). It does not retry: who calls knows how long it may wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from services.errors import ConfigurationError, TransientError
from services.telemetry import metrics

if TYPE_CHECKING:
    from services.settings import Settings

__all__ = ["Cursor", "Database"]

Cursor = psycopg.Cursor[tuple[Any, ...]]


class Database:
    """A lazily filled pool in autocommit mode; one statement is one transaction. Thread-safe."""

    def __init__(self, settings: Settings, *, size: int, acquire_timeout_s: float = 2.0) -> None:
        self._acquire_timeout_s = acquire_timeout_s
        self._pool: ConnectionPool[psycopg.Connection[tuple[Any, ...]]] = ConnectionPool(
            settings.postgres_dsn.get_secret_value(),
            min_size=0,
            max_size=size,
            open=True,
            timeout=acquire_timeout_s,
            max_idle=300,
            # The pool backs off exponentially and would sleep past a server's return; callers retry, so it need not.
            reconnect_timeout=1.0,
            kwargs={
                "autocommit": True,
                "connect_timeout": 3,
                "application_name": "tidegate",
                "options": f"-c statement_timeout={int(settings.statement_timeout_s * 1000)}",
                # A server that vanishes without closing the socket is noticed in seconds, not in TCP's two hours.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
            },
        )

    @contextmanager
    def cursor(self, statement: str) -> Iterator[Cursor]:
        """A cursor on a pooled connection; `statement` names it in the metrics.

        Raises:
            TransientError, ConfigurationError: as the module says.
        """
        started = time.perf_counter()
        try:
            with self._pool.connection(self._acquire_timeout_s) as connection, connection.cursor() as cursor:
                yield cursor
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise ConfigurationError(f"Postgres has no such table or column; run the migrations: {error}") from error
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.InternalError_, PoolTimeout) as error:
            raise TransientError(
                f"Postgres: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            ) from error
        finally:
            metrics.POSTGRES_SECONDS.labels(statement).observe(time.perf_counter() - started)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close(timeout=2.0)
