"""Triton's Python stubs: one process per model instance, a child of `tritonserver`. A dead one is not started again by it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.embedded.processes import ProcessRef

__all__ = ["Stub", "stubs_of"]


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
            if process is not None and len(arguments) > 1 and arguments[0].endswith("triton_python_backend_stub"):
                path = Path(arguments[1])
                stopped = child.status() == psutil.STATUS_STOPPED
                found.append(Stub(process, path.parent.parent.name, path.parent.name, stopped))
    return found


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
