"""`up` and `down` from anywhere, at any time, after any accident: one sentence or a healthy stack, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy.embedded import Stack, StackState, stack_environment
from deploy.embedded.plan import PartName
from deploy.embedded.ports import is_free
from deploy.embedded.processes import find_leftovers
from services.errors import ConfigurationError
from services.messaging import admin_client
from services.settings import make_settings
from tests.integration.embedded.models import add_broken
from tests.integration.embedded.watching import everything, listening, named, words

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

_TIDEGATE = Path(sys.executable).parent / "tidegate"
_SERVERS: frozenset[PartName] = frozenset({"kafka", "postgres", "valkey", "triton"})


def test_a_stack_leaves_nothing_behind_but_its_data_and_finds_that_again(empty: Path, models: Path) -> None:
    stack = Stack(empty, parts=_SERVERS, app=False, model_repositories=[models])
    first = stack.up()
    _keep_something(first)
    processes, regions, sockets = everything(first), _regions(first), listening(everything(first))
    assert regions
    # From another process, as a person does it.
    down = subprocess.run([str(_TIDEGATE), "down", "--data", str(empty)], capture_output=True, text=True, check=True)
    assert "Stopped." in down.stdout
    assert not any(process.is_running() for process in processes)
    assert find_leftovers(stack.folder) == []
    assert not any(str(empty) in word for word in words(psutil.process_iter()))
    assert not any(region.exists() for region in regions)
    assert all(is_free(port) for _, port in sockets)
    assert sorted(path.name for path in stack.folder.run.iterdir()) == ["lock", "mark", "plan.json", "processes"]
    assert list(stack.folder.records.iterdir()) == []
    assert stack.status() is None
    assert not stack.down()

    _leave_traces_of_a_crash(stack)
    second = stack.up()
    assert second.endpoints == first.endpoints
    assert _what_was_kept(second) == ("kept", True)


def test_an_up_that_was_killed_in_the_middle_of_the_first_start_is_taken_up_again(empty: Path) -> None:
    parts: frozenset[PartName] = frozenset({"kafka", "postgres"})
    code = (
        "import sys; from deploy.embedded import Stack\n"
        "Stack(sys.argv[1], parts={'kafka', 'postgres'}, app=False).up(lambda *told: print(*told, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(empty)], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        wanted = {"kafka formatting the folder", "postgres creating the database folder"}
        for line in killed.stdout:
            wanted.discard(line.strip())
            if not wanted:
                break
        killed.kill()
    assert not (empty / "kafka" / "data").exists()
    stack = Stack(empty, parts=parts, app=False)
    assert stack.up().healthy
    assert not list(empty.glob("*/data.new"))


def test_up_twice_is_up_once(empty: Path) -> None:
    stack = _valkey(empty)
    first = stack.up()
    assert not stack.was_running
    again = _valkey(empty)
    second = again.up()
    assert again.was_running
    assert [one.pid for one in second.processes] == [one.pid for one in first.processes]


def test_two_ups_at_the_same_time_start_one_stack(empty: Path) -> None:
    stacks = [_valkey(empty) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        states = list(pool.map(Stack.up, stacks))
    assert len({state.supervisor_pid for state in states}) == 1
    assert sorted(stack.was_running for stack in stacks) == [False, True, True]


def test_an_up_during_a_down_starts_the_stack_again(empty: Path) -> None:
    stack = _valkey(empty)
    before = stack.up()
    thread = threading.Thread(target=stack.down)
    thread.start()
    while (state := stack.status()) is not None and state.phase == "running":
        time.sleep(0.001)
    after = _valkey(empty).up()
    thread.join()
    assert after.supervisor_pid != before.supervisor_pid
    now = stack.status()
    assert now is not None
    assert (now.healthy, now.supervisor_pid) == (True, after.supervisor_pid)


def test_stacks_that_start_side_by_side_do_not_meet(empty: Path) -> None:
    stacks = [_valkey(empty / str(number)) for number in range(4)]
    try:
        with ThreadPoolExecutor(4) as pool:
            states = list(pool.map(Stack.up, stacks))
        assert all(state.healthy and state.processes[0].restarts == 0 for state in states)
        assert len({state.endpoints.valkey for state in states}) == 4
    finally:
        for stack in stacks:
            stack.down()


def test_a_remembered_port_that_somebody_took_is_replaced_and_said(empty: Path) -> None:
    stack = _valkey(empty)
    first = stack.up()
    stack.down()
    port = json.loads(stack.folder.ports.read_text())["valkey"]
    said: list[str] = []
    with socket.create_server(("127.0.0.1", port)):
        second = stack.up(lambda _, sentence: said.append(sentence))
    assert second.healthy
    assert second.endpoints.valkey != first.endpoints.valkey
    assert any(sentence.startswith(f"port {port} of valkey is taken by another program now") for sentence in said)


def test_down_where_nothing_runs_makes_nothing(empty: Path) -> None:
    assert not Stack(empty).down()
    assert not empty.exists()


def test_down_of_a_stack_whose_supervisor_was_killed_ends_what_it_left(empty: Path) -> None:
    stack = _valkey(empty)
    state = stack.up()
    (_, valkey) = named(state)
    psutil.Process(state.supervisor_pid).kill()
    assert stack.down()
    assert not valkey.is_running()
    assert stack.status() is None


def test_a_damaged_or_lost_state_file_does_not_keep_down_from_stopping(empty: Path) -> None:
    stack = _valkey(empty)
    processes = named(stack.up())
    stack.folder.state.write_text("{")
    assert stack.down()
    assert not any(process.is_running() for process in processes)


def test_a_start_that_cannot_succeed_gives_up_with_a_sentence_and_goes_on_trying(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.embedded.stack._HOPELESS_LOAD_S", 1.0)
    repository = empty.with_name("broken-models")
    repository.mkdir()
    add_broken(repository, "broken")
    stack = Stack(empty, parts={"triton"}, app=False, model_repositories=[repository])
    with pytest.raises(ConfigurationError) as caught:
        stack.up()
    assert str(caught.value).startswith("the stack is not healthy: model broken cannot be loaded: ")
    assert "It goes on trying; the logs are in" in str(caught.value)
    state = stack.status()
    assert state is not None
    assert [(one.name, one.healthy) for one in state.processes] == [("triton", True)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_stops_what_it_started(empty: Path, number: signal.Signals) -> None:
    elsewhere = ("TIDEGATE_KAFKA_BOOTSTRAP", "TIDEGATE_POSTGRES_DSN", "TIDEGATE_TRITON_GRPC")
    environment = {**os.environ, **dict.fromkeys(elsewhere, "elsewhere")}
    command = [str(_TIDEGATE), "up", "--no-app", "--data", str(empty)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as up:
        assert up.stdout is not None
        for line in up.stdout:
            if line.startswith("Press Ctrl-C"):
                break
        up.send_signal(number)
        rest = up.stdout.read()
    assert up.returncode == 0
    assert rest.endswith("Stopped.\n")
    assert Stack(empty).status() is None


def _valkey(folder: Path) -> Stack:
    """The smallest stack."""
    return Stack(folder, parts={"valkey"}, app=False)


def _keep_something(state: StackState) -> None:
    settings = make_settings(**_fields(state))
    with psycopg.connect(settings.postgres_dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'kept' AS word")
    admin = admin_client(settings, "test")
    try:
        admin.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}})
    finally:
        admin.close()


def _what_was_kept(state: StackState) -> tuple[str, bool]:
    settings = make_settings(**_fields(state))
    with psycopg.connect(settings.postgres_dsn.get_secret_value()) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    assert row is not None
    admin = admin_client(settings, "test")
    try:
        return str(row[0]), "kept" in admin.list_topics()
    finally:
        admin.close()


def _fields(state: StackState) -> dict[str, str]:
    return {name.removeprefix("TIDEGATE_").lower(): value for name, value in stack_environment(state).items()}


def _leave_traces_of_a_crash(stack: Stack) -> None:
    """As after a power cut: pid files that by now name somebody else, and files that were being written."""
    folder = stack.folder
    (folder.postgres / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder.postgres / 'data'}\n1\n")
    (folder.records / "kafka.json").write_text(json.dumps({"pid": os.getpid(), "created": 1.0, "boot": "another"}))
    (folder.records / "valkey.json").write_text("{")
    folder.state.write_text('{"format": 1, "data_d')
    (folder.kafka / "data" / ".lock").write_text("")


def _regions(state: StackState) -> set[Path]:
    """The shared memory that this stack's processes have mapped."""
    found: set[Path] = set()
    for process in everything(state):
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {Path(one.path) for one in process.memory_maps() if one.path.startswith("/dev/shm/")}
    return found
