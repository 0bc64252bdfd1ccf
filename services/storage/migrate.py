"""Numbered SQL files, run once each, in order, by one process at a time.

Promises: after `migrate` returns, every file of every given folder has run exactly once in this database, however many
processes call it together (a session advisory lock serialises them); each file runs in one transaction with its record. A
file that changed after it ran is an error, never a silent difference. It does not offer downgrades.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import psycopg

from services.errors import ConfigurationError, TransientError, first_line
from services.storage.dsn import readable

__all__ = ["SPINE_MIGRATIONS", "migrate"]

SPINE_MIGRATIONS = Path(__file__).parent / "migrations"

#: Any constant will do; this is crc32(b"tidegate.migrations").
_LOCK = 0x5F3A_91C2

_NAME = re.compile(r"^\d{4}_[a-z0-9_]+\.sql$")


def migrate(dsn: str, folders: Mapping[str, Path]) -> list[str]:
    """Run what has not run yet of `folders` (component name → folder of `NNNN_name.sql`); returns what ran now.

    Raises:
        TransientError: Postgres cannot be reached.
        ConfigurationError: a file is misnamed, fails, or differs from what ran before.
    """
    ran: list[str] = []
    try:
        with psycopg.connect(
            readable(dsn), autocommit=True, connect_timeout=5, application_name="tidegate-migrate"
        ) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration (component text, name text, sha256 text NOT NULL,"
                " ran_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (component, name))"
            )
            done = {(c, n): h for c, n, h in connection.execute("SELECT component, name, sha256 FROM schema_migration")}
            for component, folder in folders.items():
                for file in sorted(folder.glob("*.sql")):
                    if not _NAME.match(file.name):
                        raise ConfigurationError(f"migration {file.name} of {component} is not named NNNN_name.sql")
                    text = file.read_text(encoding="utf-8")
                    digest = hashlib.sha256(text.encode()).hexdigest()
                    before = done.get((component, file.name))
                    if before == digest:
                        continue
                    if before is not None:
                        raise ConfigurationError(
                            f"migration {component}/{file.name} has changed since it ran; add a new file instead"
                        )
                    with connection.transaction():
                        connection.execute(text)  # SQL from our own files, not composed
                        connection.execute(
                            "INSERT INTO schema_migration (component, name, sha256) VALUES (%s, %s, %s)",
                            (component, file.name, digest),
                        )
                    ran.append(f"{component}/{file.name}")
    except psycopg.OperationalError as error:
        raise TransientError(f"Postgres cannot be reached: {first_line(error)}") from error
    except psycopg.Error as error:
        raise ConfigurationError(f"a migration failed: {first_line(error)}") from error
    return ran
