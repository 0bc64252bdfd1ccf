"""The `tidegate` command as a person runs it: a process of its own, with a deployment's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.servers import Deployment

ROOT = Path(__file__).resolve().parents[3]
COMMAND = (sys.executable, "-c", "from services.cli import main; main()")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()


def environment_of(deployment: Deployment, changes: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    return {**inherited, "COLUMNS": "120", **deployment.environment, **changes}


@pytest.fixture
def tidegate(deployment: Deployment) -> Callable[..., Ended]:
    """Run a command against the test's deployment: `tidegate("dlq", "list", given=b"...", NAME="value")`."""

    def run(*arguments: str, given: bytes = b"", **environment: str) -> Ended:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=given,
            capture_output=True,
            check=False,
            env=environment_of(deployment, environment),
            cwd=ROOT,
        )
        return Ended(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture
def started(deployment: Deployment) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a command that goes on, with its output in a pipe; it is killed at the end of the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment_of(deployment, {}),
            cwd=ROOT,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()
