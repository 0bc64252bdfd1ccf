"""One deployment for all tests of the storage, emptied before each: a database for each would be 20,000 more files to delete."""

from __future__ import annotations

import pytest
from psycopg import sql

from tests.integration.servers import Deployment, Servers


@pytest.fixture(scope="package")
def _shared(servers: Servers) -> Deployment:
    return servers.deploy()


@pytest.fixture
def deployment(_shared: Deployment) -> Deployment:
    with _shared.database() as database, database.cursor("test") as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migration'"
        )
        tables = [sql.Identifier(name) for (name,) in cursor.fetchall()]
        cursor.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))
    return _shared
