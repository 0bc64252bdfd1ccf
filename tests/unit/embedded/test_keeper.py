"""The keeper, with real small processes: a server of five lines that can be killed, frozen and made to fail."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from deploy.embedded import keeper as module
from deploy.embedded.keeper import Keeper, backoff_s
from deploy.embedded.layout import DataFolder
from deploy.embedded.parts import ProcessSpec
from deploy.embedded.probes import NotReady, valkey_answers

_SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        client, _ = server.accept()
        with client:
            client.recv(100)
            client.sendall(b"+PONG\\r\\n")
"""
_PARENT = "import subprocess, sys\nchild = subprocess.Popen(['sleep', '600'])\n" + _SERVER

Keep = Callable[..., Keeper]


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder.at(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def keep(folder: DataFolder) -> Iterator[Keep]:
    """Keeps a process, small server by default, until the test is over."""
    kept: list[Keeper] = []

    def one(code: str = _SERVER, **changes: object) -> Keeper:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        spec = ProcessSpec(
            name="server",
            command=(sys.executable, "-c", code, str(port)),
            environment=os.environ,
            probe=partial(valkey_answers, port),
            stop_patience_s=5.0,
        )
        keeper = Keeper(folder, replace(spec, **changes))  # type: ignore[arg-type]
        kept.append(keeper)
        keeper.start()
        return keeper

    yield one
    for keeper in kept:
        keeper.stop()


def test_a_process_is_healthy_once_it_answers(keep: Keep) -> None:
    keeper = keep()
    assert keeper.wait_healthy(60)
    state = keeper.state()
    assert (state.name, state.healthy, state.restarts, state.detail) == ("server", True, 0, "")
    assert state.pid == keeper.pid


def test_a_killed_process_is_started_again(keep: Keep) -> None:
    keeper = keep()
    first = _pid_of(keeper)
    os.kill(first, signal.SIGKILL)
    assert _pid_of(keeper, other_than=first) != first
    assert keeper.state().restarts == 1


def test_a_frozen_process_is_noticed_killed_and_started_again(keep: Keep) -> None:
    keeper = keep(freeze_patience_s=1.0)
    first = _pid_of(keeper)
    os.kill(first, signal.SIGSTOP)
    _pid_of(keeper, other_than=first)
    assert not psutil.pid_exists(first)


def test_a_process_that_never_answers_is_started_again(keep: Keep) -> None:
    keeper = keep("import time; time.sleep(600)", start_patience_s=0.5)
    _until(lambda: keeper.state().restarts >= 1)
    assert not keeper.healthy


def test_a_slow_start_is_not_taken_for_a_frozen_process(keep: Keep) -> None:
    keeper = keep("import time; time.sleep(1.5)\n" + _SERVER, freeze_patience_s=0.2)
    assert keeper.wait_healthy(60)
    assert keeper.state().restarts == 0


def test_a_process_that_is_busy_but_alive_is_left_alone(keep: Keep) -> None:
    def busy() -> None:
        raise NotReady("it recovers")

    keeper = keep(probe=busy, alive=lambda: None, start_patience_s=0.1, freeze_patience_s=0.1)
    _until(lambda: keeper.state().detail == "it recovers")
    time.sleep(1)
    assert keeper.state().restarts == 0


def test_a_process_that_ends_at_once_says_why_in_a_sentence(keep: Keep) -> None:
    keeper = keep("raise OSError(28, 'No space left on device')")
    _until(lambda: keeper.state().restarts >= 2)
    _until(lambda: "the disk is full" in keeper.state().detail)


def test_a_program_that_is_not_there_is_reported_and_tried_again(keep: Keep) -> None:
    keeper = keep(command=("/no/such/program",))
    _until(lambda: keeper.state().restarts >= 2)
    assert keeper.state().detail.startswith("it could not be started")
    assert keeper.pid is None


def test_the_pause_between_failing_starts_grows_to_a_bound() -> None:
    pauses = [backoff_s(failures) for failures in range(12)]
    assert pauses[:6] == [0, 0, 0.5, 1, 2, 4]
    assert max(pauses) == pauses[-1] == 15


def test_only_a_process_that_was_healthy_for_a_while_may_come_back_at_once(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[int] = []
    monkeypatch.setattr(module, "_LONG_ENOUGH_S", 0.0)

    def no_pause(quick_failures: int) -> float:
        failures.append(quick_failures)
        return 0.0

    monkeypatch.setattr(module, "backoff_s", no_pause)
    keeper = keep("raise SystemExit(1)")
    _until(lambda: len(failures) > 4)
    keeper.stop()
    assert failures[:5] == [0, 1, 2, 3, 4]
    failures.clear()
    healthy = keep()
    for _ in range(3):
        victim = _pid_of(healthy)
        os.kill(victim, signal.SIGKILL)
        _pid_of(healthy, other_than=victim)
    assert failures == [0, 1, 1, 1]


def test_a_process_that_is_healthy_and_ends_again_and_again_waits_a_second_at_most(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[int] = []

    def no_pause(quick_failures: int) -> float:
        failures.append(quick_failures)
        return 0.0

    monkeypatch.setattr(module, "backoff_s", no_pause)
    keeper = keep()
    for _ in range(5):
        victim = _pid_of(keeper)
        os.kill(victim, signal.SIGKILL)
        _pid_of(keeper, other_than=victim)
    assert failures == [0, 1, 2, 3, 3, 3]
    assert backoff_s(3) == 1


def test_stopping_leaves_neither_the_process_nor_its_children_nor_a_record(keep: Keep, folder: DataFolder) -> None:
    keeper = keep(_PARENT)
    parent = psutil.Process(_pid_of(keeper))
    (child,) = parent.children()
    keeper.stop()
    assert not parent.is_running()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert list(folder.records.iterdir()) == []
    assert not keeper.healthy


def test_what_a_process_leaves_behind_is_tidied_before_each_start_and_after_the_end(keep: Keep) -> None:
    times: list[float] = []
    keeper = keep(tidy=lambda: times.append(time.monotonic()))
    first = _pid_of(keeper)
    os.kill(first, signal.SIGKILL)
    _pid_of(keeper, other_than=first)
    keeper.stop()
    assert len(times) == 3


def _pid_of(keeper: Keeper, other_than: int | None = None) -> int:
    """The pid, once it is healthy."""
    _until(lambda: keeper.healthy and keeper.pid not in {None, other_than})
    assert keeper.pid is not None
    return keeper.pid


def _until(true: Callable[[], bool]) -> None:
    """Wait without a limit of its own: pytest's timeout is the limit."""
    while not true():
        time.sleep(0.02)
