"""Servers for every integration test: `servers` starts them once, `deployment` gives a test a Tidegate of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import Deployment, Servers, started_servers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first waits for the servers, and on a first run for their download."""
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder that Postgres' own user may enter, which pytest's `tmp_path` is not."""
    folder = Path(tempfile.mkdtemp(prefix="tidegate-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _own_environment() -> Iterator[None]:
    """No test may find the servers of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TIDEGATE_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def servers(scratch: Path, _own_environment: None) -> Iterator[Servers]:
    """Real Kafka, Postgres and Valkey, once for the session."""
    with started_servers(scratch / "servers") as started:
        yield started


@pytest.fixture
def deployment(servers: Servers) -> Deployment:
    """Own topics and an own database on the session's servers, prepared for review and the toy capability."""
    return servers.deploy()
