"""What the stack shows to the outside: loopback only, no secret where others can read it, and the promised JSON."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded import Stack, stack_environment
from tests.integration.embedded.watching import everything, listening, until, words

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

_TIDEGATE = Path(sys.executable).parent / "tidegate"


def test_every_process_listens_on_loopback_only(whole: Stack) -> None:
    state = until(whole, lambda state: state.healthy)
    sockets = listening(everything(state))
    assert len(sockets) == 9  # Kafka 2, Postgres, Valkey, Triton 3, dispatcher, worker
    # Java binds the mapped form of the same address.
    assert {address for address, _ in sockets} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_status_as_json_has_the_shape_that_others_rely_on(whole: Stack) -> None:
    until(whole, lambda state: state.healthy)
    code, status = _status_json(whole.folder.root)
    assert code == 0
    assert set(status) == {"healthy", "kafka", "postgres", "valkey", "triton", "processes", "models"}
    assert status["healthy"] is True
    assert status["postgres"].startswith("postgresql://postgres@127.0.0.1:")
    assert status["valkey"].startswith("redis://127.0.0.1:")
    assert set(status["triton"]) == {"grpc", "http", "metrics"}
    for address in (status["kafka"], *status["triton"].values()):
        host, _, port = address.rpartition(":")
        assert (host, port.isdigit()) == ("127.0.0.1", True)
    assert {tuple(one) for one in status["processes"]} == {("name", "pid", "healthy", "restarts", "metrics")}
    assert {tuple(one) for one in status["models"]} == {("name", "version", "sha256")}
    assert {one["name"] for one in status["processes"]} == {
        "kafka",
        "postgres",
        "valkey",
        "triton",
        "triton-stub:review",
        "triton-stub:echo",
        "dispatcher-1",
        "worker-1",
    }
    metrics = {one["name"] for one in status["processes"] if one["metrics"]}
    assert metrics == {"triton", "dispatcher-1", "worker-1"}


def test_status_of_nothing_has_the_same_shape(empty: Path, whole: Stack) -> None:
    code, nothing = _status_json(empty)
    _, something = _status_json(whole.folder.root)
    assert code == 1
    assert set(nothing) == set(something)
    assert nothing["healthy"] is False
    assert (nothing["processes"], nothing["models"]) == ([], [])
    assert set(nothing["triton"]) == set(something["triton"])
    assert not empty.exists()


def test_remote_parts_are_used_and_not_started_and_their_passwords_stay_private(
    whole: Stack, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = stack_environment(until(whole, lambda state: state.healthy))
    # The servers ask for none, so any password is the right one.
    remote["TIDEGATE_POSTGRES_DSN"] = remote["TIDEGATE_POSTGRES_DSN"].replace("postgres@", "postgres:hush-hush@")
    remote["TIDEGATE_VALKEY_URL"] = remote["TIDEGATE_VALKEY_URL"].replace("/0", "/1")
    for name, value in remote.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIDEGATE_TOPIC_PREFIX", "guest.")
    monkeypatch.setenv("TIDEGATE_CONSUMER_GROUP", "guest")
    guest = Stack(empty)
    state = guest.up()
    assert {one.name for one in state.processes} == {"dispatcher-1", "worker-1"}
    assert state.models == ()
    assert stack_environment(state) == remote
    assert not any("hush-hush" in word for word in words(everything(state)))
    private = {guest.folder.state, guest.folder.plan}
    assert all("hush-hush" in path.read_text() for path in private)
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    written = {
        path for path in empty.rglob("*") if path.is_file() and path.suffix != ".new"
    }  # these become the private ones
    assert not any("hush-hush" in path.read_text(errors="replace") for path in written - private)
    code, status = _status_json(empty)
    assert code == 0
    assert "hush-hush" not in json.dumps(status)
    assert status["postgres"].startswith("postgresql://postgres:***@127.0.0.1:")
    assert guest.down()
    until(whole, lambda state: state.healthy)


def _status_json(folder: Path) -> tuple[int, dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    command = [str(_TIDEGATE), "status", "--json", "--data", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.stderr == ""
    status = json.loads(result.stdout)
    assert isinstance(status, dict)
    return result.returncode, status
