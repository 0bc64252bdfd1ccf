"""CPU time and memory of a running stack, by the kind of process.

CPU is the kernel's count of user and system seconds. A session of Postgres that ended counts through its parent. Memory is PSS:
a page that n processes share counts an n-th for each, so the sum is what the machine would get back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil

from deploy.embedded import StackState

__all__ = ["cpu_seconds", "pss_bytes"]


def cpu_seconds(state: StackState) -> dict[str, float]:
    """Seconds of CPU so far, by kind; `bench` is this process, which publishes and consumes."""
    found = {"bench": _seconds(psutil.Process())}
    for kind, process in _members(state):
        found[kind] = found.get(kind, 0.0) + _seconds(process)
    return found


def pss_bytes(state: StackState) -> dict[str, int]:
    """Memory now, by kind, without this process."""
    found: dict[str, int] = {}
    for kind, process in _members(state):
        with contextlib.suppress(psutil.Error):
            found[kind] = found.get(kind, 0) + process.memory_full_info().pss
    return found


def _members(state: StackState) -> Iterator[tuple[str, psutil.Process]]:
    """Every process of the stack once: the supervisor and all its descendants."""
    kinds = {
        one.pid: "stubs" if one.name.startswith("triton-stub:") else one.name.partition("-")[0]
        for one in state.processes
        if one.pid is not None
    }
    supervisor = psutil.Process(state.supervisor_pid)
    yield "supervisor", supervisor
    for process in supervisor.children(recursive=True):
        own = kinds.get(process.pid)
        yield own or _kind_of_parent(process, kinds), process


def _kind_of_parent(process: psutil.Process, kinds: dict[int, str]) -> str:
    """A session of Postgres is Postgres."""
    with contextlib.suppress(psutil.Error):
        return next((kinds[parent.pid] for parent in process.parents() if parent.pid in kinds), "supervisor")
    return "supervisor"


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
