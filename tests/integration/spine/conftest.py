"""For tests of the whole spine: a Triton with null models, and one running Tidegate that tests may share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import Deployment, Servers
from tests.integration.spine.app import App, running_app
from tests.integration.spine.topics import Topics
from tests.integration.spine.triton import NullTriton, running_triton


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Where the processes of one test print."""
    return tmp_path


@pytest.fixture
def topics(deployment: Deployment) -> Iterator[Topics]:
    """A client of the test's own deployment."""
    client = Topics(deployment.settings)
    yield client
    client.close()


@pytest.fixture(scope="session")
def triton(scratch: Path, _own_environment: None) -> Iterator[NullTriton]:
    """A real Triton whose models compute nothing, once for the session."""
    with running_triton(scratch / "triton") as started:
        yield started


@pytest.fixture(scope="session")
def app(servers: Servers, triton: NullTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One dispatcher and one worker that many tests send messages to; none may leave them worse than it found them."""
    # Often, because one test after the other waits for a commit.
    deployment = servers.deploy(triton_grpc=triton.grpc, commit_interval_s=0.1)
    with running_app(deployment, tmp_path_factory.mktemp("app")) as started:
        yield started
