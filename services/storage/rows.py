"""Rows of any query, one by one: for reading training data out of a database, whatever its tables are.

Promises: memory is bounded by a page of rows, however many there are; the query runs in a read-only transaction. It is not for
the hot path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import dict_row

from services.errors import ConfigurationError, TransientError, first_line
from services.storage.dsn import readable

__all__ = ["stream_rows"]

_PAGE = 2000


def stream_rows(dsn: str, query: str) -> Iterator[dict[str, Any]]:
    """Run `query` and yield each row by column name.

    Raises:
        TransientError: Postgres cannot be reached.
        ConfigurationError: the query is wrong, or would write.
    """
    try:
        with psycopg.connect(readable(dsn), connect_timeout=5, application_name="tidegate-training") as connection:
            connection.read_only = True
            with connection.cursor("training_rows", row_factory=dict_row) as cursor:
                cursor.itersize = _PAGE
                cursor.execute(query)
                yield from cursor
    except psycopg.OperationalError as error:
        raise TransientError(f"Postgres cannot be reached: {first_line(error)}") from error
    except psycopg.Error as error:
        raise ConfigurationError(f"the query for training data fails: {first_line(error)}") from error
