"""Taking a real server away for a while: stopped in its tracks, or killed and not started again until the block ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psutil

from deploy.embedded import read_state
from tests.integration.spine.processes import eventually

__all__ = ["Way", "away", "kill_part", "unsupervised"]

Way = Literal["frozen", "killed"]


@contextmanager
def away(folder: Path, part: str, way: Way) -> Iterator[None]:
    """`part` of the stack in `folder` does not answer during the block, and answers again after it."""
    supervisor = _supervisor(folder)
    processes = _processes(folder, part)
    if way == "killed":
        supervisor.suspend()  # it would start the part again at once
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend() if way == "frozen" else process.kill()
        yield
    finally:
        for process in reversed(processes):
            with suppress(psutil.NoSuchProcess):
                process.resume()
        if way == "killed":
            supervisor.resume()
    wait_well(folder, part, but_not=processes[0] if way == "killed" else None)


@contextmanager
def unsupervised(folder: Path) -> Iterator[None]:
    """Until a part of this stack that was killed is to start again, its supervisor does nothing, or it would kill a frozen one."""
    supervisor = _supervisor(folder)
    supervisor.suspend()
    try:
        yield
    finally:
        supervisor.resume()


def kill_part(folder: Path, part: str) -> None:
    """SIGKILL; the supervisor starts it again at once."""
    processes = _processes(folder, part)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_well(folder, part, but_not=processes[0])


def wait_well(folder: Path, part: str, *, but_not: psutil.Process | None = None) -> None:
    """Wait until the supervisor sees a healthy one, which is another than `but_not`."""

    def look() -> bool:
        state = read_state(folder)
        found = [p for p in state.processes if p.name == part] if state else []
        return bool(found) and found[0].healthy and (but_not is None or found[0].pid != but_not.pid)

    eventually(look, f"{part} is well again")


def _supervisor(folder: Path) -> psutil.Process:
    state = read_state(folder)
    assert state is not None
    return psutil.Process(state.supervisor_pid)


def _processes(folder: Path, part: str) -> list[psutil.Process]:
    """The part's process and its children, the part first."""
    state = read_state(folder)
    assert state is not None
    (pid,) = (process.pid for process in state.processes if process.name == part)
    found = psutil.Process(pid)
    return [found, *found.children(recursive=True)]
