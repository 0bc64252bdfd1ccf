"""Processes of the stack: started in a session of their own, known by pid and time of start, stopped with patience.

Plain `subprocess` and `psutil`, not a process library: mirakuru starts children with a `preexec_fn`, which may deadlock in a
supervisor that has threads, and kills every child when its own process ends, while these must outlive a killed supervisor.

A process is never found by its name. What a killed supervisor left behind is found by the records in `run/processes`, and by
a random mark in the environment that is unique to the data folder (the records miss a process started in the last instant).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from deploy.embedded.layout import DataFolder

__all__ = [
    "SUPERVISOR",
    "Leftover",
    "ProcessRef",
    "RunAs",
    "StackLock",
    "end_leftovers",
    "find_leftovers",
    "forget",
    "record",
    "recorded",
    "run_tool",
    "spawn",
    "terminate",
]

#: Its record tells `down` whom to ask.
SUPERVISOR = "supervisor"
_MARK_VARIABLE = "TIDEGATE_STACK_MARK"
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class RunAs:
    """The user of a process that must not run as root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process of this machine, also after its pid was given to another one.

    `created` is in seconds since the machine started. The time of day would not do: a clock that is set, as after the
    suspension of a virtual machine, would make every process look like another one.
    """

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessRef | None:
        try:
            # The command's name stands in parentheses and may hold anything; the start is the 20th field after it.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        return cls(pid, int(fields[19]) / _TICKS_PER_SECOND)

    def live(self) -> psutil.Process | None:
        """The process while it runs. A zombie does not."""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE or ProcessRef.of(self.pid) != self:
                return None
        except psutil.Error:
            return None
        return process


class StackLock:
    """The lock of a data folder. Whoever holds it is the stack; the kernel releases it when the holder dies.

    `up` takes it, prepares, and hands the open file to the supervisor, so that there is no moment without an owner.
    """

    def __init__(self, folder: DataFolder, descriptor: int | None = None) -> None:
        self._path = folder.lock
        self.descriptor = descriptor

    def acquire(self) -> bool:
        """Whether the lock is ours now."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self.descriptor = descriptor
        return True

    def release(self) -> None:
        """Give up our copy of the lock; a supervisor that inherited it keeps it."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def spawn(
    folder: DataFolder,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    run_as: RunAs | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that writes to its own log, and record it."""
    log = folder.log(name)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment) | {_MARK_VARIABLE: _mark(folder)},
            cwd=folder.root,
            # Ctrl-C in the terminal must reach the command alone, which then stops the parts in order.
            start_new_session=True,
            user=run_as.uid if run_as else None,
            group=run_as.gid if run_as else None,
            extra_groups=[] if run_as else None,
        )
    record(folder, name, process.pid)
    return process


def record(folder: DataFolder, name: str, pid: int) -> None:
    """Write down who runs under this name, for whoever comes after us."""
    reference = ProcessRef.of(pid)
    if reference is not None:
        with contextlib.suppress(OSError):  # a full disk: the mark in the environment still finds it
            content = {"pid": reference.pid, "created": reference.created, "boot": _boot()}
            (folder.records / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def recorded(folder: DataFolder, name: str) -> psutil.Process | None:
    """The process that was recorded under this name, while it runs."""
    return _recorded(folder.records / f"{name}.json")


def run_tool(
    folder: DataFolder,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout_s: float,
    run_as: RunAs | None = None,
) -> tuple[int, str]:
    """Run a command that ends by itself; returns its code and what it wrote. It is ended after `timeout_s`.

    It carries the mark: should we be killed, the next `up` ends it before it touches the same files.
    """
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            cwd="/",
            env=dict(environment) | {_MARK_VARIABLE: _mark(folder)},
            user=run_as.uid if run_as else None,
            group=run_as.gid if run_as else None,
            extra_groups=[] if run_as else None,
        )
    except subprocess.TimeoutExpired:
        return -1, f"{Path(command[0]).name} was not done after {timeout_s:.0f} s: is the machine very busy?"
    return result.returncode, result.stdout


def forget(folder: DataFolder, name: str) -> None:
    """The process ended and was waited for."""
    with contextlib.suppress(OSError):
        (folder.records / f"{name}.json").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A living process of a supervisor that is gone. `name` is empty for a child of a part."""

    name: str
    process: psutil.Process


def find_leftovers(folder: DataFolder) -> list[Leftover]:
    """What a killed supervisor left running. Call it while holding the lock."""
    found: dict[int, Leftover] = {}
    for path in folder.records.glob("*.json"):
        process = _recorded(path)
        if process is not None:
            found[process.pid] = Leftover(path.stem, process)
    mark = _mark(folder)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in found and process.environ().get(_MARK_VARIABLE) == mark:
                found[process.pid] = Leftover("", process)
    return list(found.values())


def end_leftovers(folder: DataFolder, leftovers: Iterable[Leftover]) -> None:
    """The app first, so that it can hand over; then the servers. Forgets their records."""
    remaining = list(leftovers)
    app = [one for one in remaining if one.name.startswith(("dispatcher-", "worker-", "prepare"))]
    terminate([one.process for one in app], patience_s=40)
    # Postgres takes SIGTERM as "wait for every client"; SIGINT means "end the sessions and stop".
    terminate([one.process for one in remaining if one.name == "postgres"], patience_s=20, first=signal.SIGINT)
    terminate([one.process for one in remaining if one not in app and one.name != "postgres"], patience_s=20)
    for path in folder.records.glob("*.json"):
        path.unlink(missing_ok=True)


def terminate(processes: Iterable[psutil.Process], patience_s: float, first: int = signal.SIGTERM) -> list[int]:
    """Ask each to end, wait, then kill what remains with its children. Returns the pids that had to be killed."""
    asked = list(processes)
    for process in asked:
        with contextlib.suppress(psutil.Error):
            process.send_signal(first)
            process.send_signal(signal.SIGCONT)  # whoever was stopped, as with Ctrl-Z, does not even hear the first one
    _, stubborn = psutil.wait_procs(asked, timeout=patience_s)
    victims: list[psutil.Process] = []
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            victims += [*process.children(recursive=True), process]
    for process in victims:
        with contextlib.suppress(psutil.Error):
            process.kill()
    deadline = time.monotonic() + 5
    psutil.wait_procs(victims, timeout=max(0.0, deadline - time.monotonic()))
    return [process.pid for process in stubborn]


def _recorded(path: Path) -> psutil.Process | None:
    """A record that is damaged, or older than the machine's start, names nobody."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        reference = ProcessRef(int(content["pid"]), float(content["created"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return reference.live() if content.get("boot") == _boot() else None


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _mark(folder: DataFolder) -> str:
    path = folder.run / "mark"
    try:
        mark = path.read_text(encoding="utf-8").strip()
    except OSError:
        mark = ""
    if not mark:
        mark = uuid.uuid4().hex
        path.write_text(mark, encoding="utf-8")
    return mark
