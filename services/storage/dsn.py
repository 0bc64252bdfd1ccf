"""Connection strings of Postgres, looked at before anything connects: the driver's own errors quote what they cannot read.

Promises: an unreadable string is an error without any part of it, so that no password reaches a log.
"""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

from services.errors import ConfigurationError

__all__ = ["readable"]


def readable(dsn: str) -> str:
    """`dsn` as it is.

    Raises:
        ConfigurationError: it is no connection string.
    """
    try:
        # A password with an unescaped @ is read as a part of the host, which error messages name.
        hosts = str(conninfo_to_dict(dsn).get("host") or "")
    except (psycopg.ProgrammingError, UnicodeError):
        hosts = "@"
    # A folder of sockets may hold what it likes.
    if any("@" in host and not host.startswith(("/", "@")) for host in hosts.split(",")) or hosts == "@":
        raise ConfigurationError(
            "TIDEGATE_POSTGRES_DSN is no connection string: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @ and "
            "%25 for % in the password. It is not shown here because it may hold one"
        ) from None
    return dsn
