"""Triton's Python stubs: one process per model instance, a child of `tritonserver`. A dead one is not started again by it.

A stub whose server was killed should end by itself, and often hangs instead ("Non-graceful termination detected"). It is a fork of
the server, so it keeps the server's connections open: whoever waits for an answer on one of them waits for ever, and is never
told that the server is gone. `end_orphans` ends such stubs.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.embedded.processes import ProcessRef

__all__ = ["STUB_BINARY", "Stub", "end_orphans", "stubs_of"]

STUB_BINARY = "triton_python_backend_stub"
_SERVER_BINARY = "tritonserver"
#: For the kernel to take them away, and with them their hold on shared memory.
_END_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Stub:
    """A living stub process."""

    process: ProcessRef
    model: str
    version: str
    #: By SIGSTOP: it lives and does nothing.
    stopped: bool = False


def stubs_of(server_pid: int) -> list[Stub]:
    """The living stubs of a Triton process."""
    found: list[Stub] = []
    for pid in _children(server_pid):
        with contextlib.suppress(psutil.Error, OSError):
            process = ProcessRef.of(pid)
            child = psutil.Process(pid)
            arguments = child.cmdline()  # empty for a zombie
            # triton_python_backend_stub REPOSITORY/MODEL/VERSION/model.py REGION ...
            if process is not None and len(arguments) > 1 and arguments[0].endswith(STUB_BINARY):
                path = Path(arguments[1])
                stopped = child.status() == psutil.STATUS_STOPPED
                found.append(Stub(process, path.parent.parent.name, path.parent.name, stopped))
    return found


def end_orphans(binary: Path) -> int:
    """Kill the stubs that were started as `binary` and whose server is gone. Returns how many."""
    orphans = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cmdline()[:1] == [str(binary)] and not _is_child_of_a_server(process):
                process.kill()
                orphans.append(process)
    psutil.wait_procs(orphans, _END_PATIENCE_S)
    return len(orphans)


def _is_child_of_a_server(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and Path((parent.cmdline() or [""])[0]).name == _SERVER_BINARY


def _children(pid: int) -> list[int]:
    """The kernel's own list where it keeps one: psutil reads every process of the machine for the same answer."""
    lists = list(Path(f"/proc/{pid}/task").glob("*/children"))
    if lists:
        children: list[int] = []
        for path in lists:
            with contextlib.suppress(OSError):
                children += [int(word) for word in path.read_text().split()]
        return children
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []
