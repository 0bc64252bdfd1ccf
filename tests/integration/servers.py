"""Real Kafka, Postgres and Valkey for tests, started once a session, and a Tidegate of its own on them for each test.

A `Deployment` has its own topics (by prefix, which keys the Celery queues in Valkey too) and its own database, so that tests
share servers and never see each other's messages, results or dead letters.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from consumers.prepare import prepare
from deploy.embedded import running_parts
from services.capabilities import load_capabilities
from services.settings import Settings
from services.storage import Database

__all__ = ["CAPABILITIES", "Deployment", "Servers", "started_servers"]

#: The shipped capability and the one that lives in the tests alone.
CAPABILITIES = ("services.review.capability:REVIEW", "tests.toy.capability:TOY")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Topics and migrations are there. `environment` is what a process of this deployment is started with."""

    settings: Settings
    environment: Mapping[str, str]

    @contextmanager
    def database(self, size: int = 2) -> Iterator[Database]:
        """A pool, closed at the end of the block."""
        database = Database(self.settings, size=size, acquire_timeout_s=30)
        try:
            yield database
        finally:
            database.close()


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the three answer, as `TIDEGATE_*` variables. Triton is not among them."""

    environment: Mapping[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def deploy(self, **changes: Any) -> Deployment:
        """A new, empty deployment with the capabilities of `CAPABILITIES`; `changes` are other settings by name."""
        name = f"t{next(self._numbers)}"
        server = urlsplit(self.environment["TIDEGATE_POSTGRES_DSN"])
        with psycopg.connect(urlunsplit(server), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # a name of ours
        fields: dict[str, Any] = {
            "kafka_bootstrap": self.environment["TIDEGATE_KAFKA_BOOTSTRAP"],
            "postgres_dsn": urlunsplit(server._replace(path=f"/{name}")),
            "valkey_url": self.environment["TIDEGATE_VALKEY_URL"],
            "topic_prefix": f"{name}.",
            "consumer_group": f"{name}.tidegate",
            "topic_partitions": 3,
            "capabilities": ",".join(CAPABILITIES),
            **changes,
        }
        settings = Settings(**fields)
        prepare(settings, load_capabilities(settings))
        return Deployment(settings, {f"TIDEGATE_{key.upper()}": str(value) for key, value in fields.items()})


@contextmanager
def started_servers(folder: Path) -> Iterator[Servers]:
    """Kafka, Postgres and Valkey below `folder` for the time of the block."""
    with running_parts(folder, {"kafka", "postgres", "valkey"}) as environment:
        yield Servers(environment)
