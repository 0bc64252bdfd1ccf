"""Processes: found again by record or by mark, never by name, and ended with patience."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.embedded.layout import DataFolder
from deploy.embedded.processes import (
    ProcessRef,
    StackLock,
    end_leftovers,
    find_leftovers,
    forget,
    record,
    recorded,
    run_tool,
    spawn,
    terminate,
)

_SLEEP = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)"]
#: Prints the number of the signal that ends it.
_TELLING_CODE = """
import signal
heard = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, heard)
print("up", flush=True)
print(int(signal.sigwait(heard)), flush=True)
"""
_TELLING = [sys.executable, "-c", _TELLING_CODE]
_DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder.at(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def start(folder: DataFolder) -> Iterator[Start]:
    """Starts a process that has said that it is up, and ends it after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def one(name: str, command: list[str] = _SLEEP) -> subprocess.Popen[bytes]:
        process = spawn(folder, name, command, os.environ)
        started.append(process)
        while b"up" not in folder.log(name).read_bytes():
            time.sleep(0.01)
        return process

    yield one
    for process in started:
        process.kill()
        process.wait()


def test_a_process_is_known_by_pid_and_start(start: Start) -> None:
    process = start("one")
    reference = ProcessRef.of(process.pid)
    assert reference is not None
    assert reference.live() is not None
    assert ProcessRef(process.pid, reference.created - 1).live() is None


def test_setting_the_clock_does_not_make_a_process_another_one(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = ProcessRef.of(start("one").pid)
    assert reference is not None
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(psutil, "boot_time", lambda: 0.0)
    assert ProcessRef.of(reference.pid) == reference
    assert reference.live() is not None


def test_a_dead_process_is_not_live_even_while_nobody_waited_for_it(start: Start) -> None:
    process = start("one")
    reference = ProcessRef.of(process.pid)
    assert reference is not None
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert reference.live() is None


def test_leftovers_are_found_by_their_record_and_named(folder: DataFolder, start: Start) -> None:
    process = start("kafka")
    assert [(one.name, one.process.pid) for one in find_leftovers(folder)] == [("kafka", process.pid)]


def test_leftovers_are_found_by_their_mark_when_the_record_is_missing(folder: DataFolder, start: Start) -> None:
    process = start("kafka")
    forget(folder, "kafka")
    assert [(one.name, one.process.pid) for one in find_leftovers(folder)] == [("", process.pid)]


def test_another_folders_processes_are_no_leftovers(tmp_path: Path, start: Start) -> None:
    start("kafka")
    other = DataFolder.at(tmp_path / "other")
    other.create()
    assert find_leftovers(other) == []


@pytest.mark.parametrize(
    "change", [{"created": 1.0}, {"boot": "another start of the machine"}, {"pid": 2**22 + 1}, {"pid": None}]
)
def test_a_stale_record_names_nobody(folder: DataFolder, start: Start, change: dict[str, object]) -> None:
    start("kafka")
    path = folder.records / "kafka.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert recorded(folder, "kafka") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"pid": 1}'])
def test_a_damaged_record_names_nobody(folder: DataFolder, content: str) -> None:
    (folder.records / "kafka.json").write_text(content)
    assert recorded(folder, "kafka") is None
    assert find_leftovers(folder) == []


def test_ending_leftovers_ends_each_and_forgets_the_records(folder: DataFolder, start: Start) -> None:
    for name in ("worker-1", "postgres", "kafka"):
        start(name, _TELLING)
    end_leftovers(folder, find_leftovers(folder))
    assert _heard(folder, "worker-1") == _heard(folder, "kafka") == signal.SIGTERM
    # SIGTERM would let Postgres wait for every client.
    assert _heard(folder, "postgres") == signal.SIGINT
    assert find_leftovers(folder) == []
    assert list(folder.records.iterdir()) == []


def test_whoever_does_not_listen_is_killed(start: Start) -> None:
    process = start("deaf", _DEAF)
    assert terminate([psutil.Process(process.pid)], patience_s=0.2) == [process.pid]
    assert not psutil.pid_exists(process.pid)


def test_a_stopped_process_is_woken_so_that_it_hears_its_end(folder: DataFolder, start: Start) -> None:
    process = start("stopped", _TELLING)
    process.send_signal(signal.SIGSTOP)
    assert terminate([psutil.Process(process.pid)], patience_s=20) == []
    assert _heard(folder, "stopped") == signal.SIGTERM


def test_a_killed_tool_of_an_earlier_start_is_a_leftover(folder: DataFolder) -> None:
    lines = (
        "import sys; from deploy.embedded.layout import DataFolder; from deploy.embedded.processes import run_tool",
        f"run_tool(DataFolder.at({str(folder.root)!r}), ['sleep', '600'], {{'PATH': '/usr/bin:/bin'}}, timeout_s=600)",
    )
    with subprocess.Popen([sys.executable, "-c", "\n".join(lines)], cwd=Path.cwd()) as command:
        while not (children := psutil.Process(command.pid).children()):
            time.sleep(0.01)
        while children[0].name() != "sleep":
            time.sleep(0.01)
        command.kill()
    (leftover,) = find_leftovers(folder)
    assert leftover.process == children[0]
    end_leftovers(folder, [leftover])
    assert not children[0].is_running()


def test_a_tool_that_takes_too_long_is_ended_and_explained(folder: DataFolder) -> None:
    code, output = run_tool(folder, ["sleep", "600"], os.environ, timeout_s=0.1)
    assert code != 0
    assert output == "sleep was not done after 0 s: is the machine very busy?"


def test_the_lock_has_one_holder(folder: DataFolder) -> None:
    one, other = StackLock(folder), StackLock(folder)
    assert one.acquire()
    assert not other.acquire()
    one.release()
    assert other.acquire()
    other.release()


def test_a_record_can_be_written_for_a_process_that_was_started_elsewhere(folder: DataFolder) -> None:
    record(folder, "myself", os.getpid())
    found = recorded(folder, "myself")
    assert found is not None
    assert found.pid == os.getpid()


def _heard(folder: DataFolder, name: str) -> int:
    return int(folder.log(name).read_text().split()[-1])
