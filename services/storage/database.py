"""One pool of Postgres connections, with every driver error translated into Tidegate's three kinds.

Promises: a statement ends soon after its timeout, even when the server is frozen; it returns, or raises `TransientError`
(Postgres is away, slow, restarting or read-only; whether the statement took effect is unknown, so statements here are
idempotent), `ConfigurationError` (a table, a column or a permission is missing) or `PermanentError` (a value that no column can
hold). It does not retry: who calls knows how long it may wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import ConnectionPool

from services.errors import ConfigurationError, DeadLetterReason, PermanentError, TransientError
from services.storage.dsn import readable
from services.storage.watchdog import Watchdog
from services.telemetry import metrics

if TYPE_CHECKING:
    from services.settings import Settings

__all__ = ["Cursor", "Database"]

Cursor = psycopg.Cursor[tuple[Any, ...]]

#: The server ends a statement itself; the watchdog ends it when the server does not.
_WATCHDOG_MARGIN_S = 2.0


class Database:
    """A lazily filled pool in autocommit mode; one statement is one transaction. Thread-safe."""

    def __init__(self, settings: Settings, *, size: int, acquire_timeout_s: float = 2.0) -> None:
        self._acquire_timeout_s = acquire_timeout_s
        self._limit_s = settings.statement_timeout_s + _WATCHDOG_MARGIN_S
        self._watchdog = Watchdog()
        self._pool: ConnectionPool[psycopg.Connection[tuple[Any, ...]]] = ConnectionPool(
            readable(settings.postgres_dsn.get_secret_value()),
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
            TransientError, ConfigurationError, PermanentError: as the module says.
        """
        started = time.perf_counter()
        try:
            with (
                self._pool.connection(self._acquire_timeout_s) as connection,
                self._watchdog.limit(connection, self._limit_s),
                connection.cursor() as cursor,
            ):
                yield cursor
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise ConfigurationError(
                f"Postgres has no such table or column; run the migrations: {_first_line(error)}"
            ) from error
        except (psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
            raise ConfigurationError(f"Postgres refuses a statement: {_first_line(error)}") from error
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded) as error:
            # Without the server's words, which quote the value.
            raise PermanentError(
                DeadLetterReason.INTERNAL, f"Postgres refuses the data: {type(error).__name__}"
            ) from error
        except (
            psycopg.Error
        ) as error:  # with the pool's: away, restarting, out of connections, memory or disk, read-only
            raise TransientError(f"Postgres: {type(error).__name__}: {_first_line(error)}") from error
        finally:
            metrics.POSTGRES_SECONDS.labels(statement).observe(time.perf_counter() - started)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close(timeout=2.0)
        self._watchdog.stop()


def _first_line(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0]
