"""For tests of the whole spine: a client of the deployment's topics, and a folder for what the processes print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import Deployment
from tests.integration.spine.topics import Topics


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def topics(deployment: Deployment) -> Iterator[Topics]:
    client = Topics(deployment.settings)
    yield client
    client.close()
