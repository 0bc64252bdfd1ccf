"""Connection strings of Postgres, looked at before anything connects: the driver's own errors quote what they cannot read.

Promises: an unreadable string is an error without any part of it, so that no password reaches a log.
"""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from services.errors import ConfigurationError

__all__ = ["masked", "readable"]


def readable(dsn: str) -> str:
    """`dsn` as it is.

    Raises:
        ConfigurationError: it is no connection string.
    """
    try:
        # A password with an unescaped @ or / is read as a part of the host, the port or the name, which error messages name.
        parts = conninfo_to_dict(dsn)
    except (psycopg.ProgrammingError, UnicodeError):
        parts = {"port": "@"}
    # A folder of sockets may hold what it likes.
    hosts = [host for host in str(parts.get("host") or "").split(",") if not host.startswith(("/", "@"))]
    if any("@" in part for part in (*hosts, str(parts.get("port") or ""), str(parts.get("dbname") or ""))):
        raise ConfigurationError(
            "TIDEGATE_POSTGRES_DSN is no connection string: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, "
            "%2F for / and %25 for % in the password. It is not shown here because it may hold one"
        ) from None
    return dsn


def masked(dsn: str) -> str:
    """The connection string without its passwords, to be shown; `***` for what cannot be read."""
    try:
        parts = conninfo_to_dict(readable(dsn))
    except ConfigurationError:
        return "***"
    secrets = [name for name in parts if "password" in name]
    if not secrets:
        return dsn
    scheme, mark, rest = dsn.partition("://")
    if mark and secrets == ["password"] and "password=" not in rest:
        # An address stays one. Up to the last @, behind which a readable string has no password.
        secret, at, place = rest.rpartition("@")
        return f"{scheme}://{secret.partition(':')[0]}:***{at}{place}"
    return make_conninfo(**{name: "***" if name in secrets else str(value) for name, value in parts.items()})
