"""Stubs that outlive their server."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from deploy.embedded.stubs import STUB_BINARY, end_orphans

pytestmark = pytest.mark.timeout(60)

#: Starts a "stub" with the name in its first argument, says its pid, and then sleeps or ends.
_SERVER = """
import subprocess, sys, time
stub = subprocess.Popen([sys.argv[1], "600"], executable="/bin/sleep")
print(stub.pid, flush=True)
time.sleep(float(sys.argv[2]))
"""


@dataclass
class Started:
    servers: list[subprocess.Popen[str]] = field(default_factory=list)
    stubs: list[psutil.Process] = field(default_factory=list)

    def server(self, name: str, stub: Path, seconds: float) -> psutil.Process:
        """A process called `name` that lives so long, with a stub; returns the stub."""
        arguments = [name, "-c", _SERVER, str(stub), str(seconds)]
        server = subprocess.Popen(arguments, executable=sys.executable, stdout=subprocess.PIPE, text=True)
        self.servers.append(server)
        assert server.stdout is not None
        self.stubs.append(psutil.Process(int(server.stdout.readline())))
        if not seconds:
            server.wait()
        return self.stubs[-1]


@pytest.fixture
def started() -> Iterator[Started]:
    started = Started()
    yield started
    for server in started.servers:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
    for stub in started.stubs:
        with contextlib.suppress(psutil.NoSuchProcess):
            stub.kill()


def test_a_stub_whose_server_is_gone_is_killed(tmp_path: Path, started: Started) -> None:
    stub = started.server("/opt/tritonserver", tmp_path / STUB_BINARY, 0.0)
    assert end_orphans(tmp_path / STUB_BINARY) == 1
    assert not stub.is_running() or stub.status() == psutil.STATUS_ZOMBIE


def test_a_stub_with_its_server_and_those_of_other_folders_live_on(tmp_path: Path, started: Started) -> None:
    served = started.server("/opt/tritonserver", tmp_path / STUB_BINARY, 600)
    others = started.server("/opt/tritonserver", tmp_path / "other" / STUB_BINARY, 0.0)
    assert end_orphans(tmp_path / STUB_BINARY) == 0
    assert served.is_running()
    assert others.is_running()
