"""Waiting for a stack to get where a test wants it. No limit of its own: pytest's timeout is the limit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable

import psutil

from deploy.embedded import Stack, StackState
from deploy.embedded.state import ModelState

__all__ = ["everything", "listening", "model", "named", "pids", "until", "words"]


def until(stack: Stack, true: Callable[[StackState], bool]) -> StackState:
    """The first state for which this is true."""
    while True:
        state = stack.status()
        if state is not None and true(state):
            return state
        time.sleep(0.1)


def pids(state: StackState, name: str) -> set[int]:
    """Of the processes of this name; a model with two instances has two stubs."""
    return {one.pid for one in state.processes if one.name == name and one.pid is not None}


def model(state: StackState, name: str) -> ModelState | None:
    return next((one for one in state.models if one.name == name), None)


def named(state: StackState) -> list[psutil.Process]:
    """The supervisor and every process that it watches."""
    return [psutil.Process(pid) for pid in (state.supervisor_pid, *(one.pid for one in state.processes)) if pid]


def everything(state: StackState) -> list[psutil.Process]:
    """All that descends from the supervisor too. A session of Postgres among them may be over at the next look."""
    supervisor = psutil.Process(state.supervisor_pid)
    return [supervisor, *supervisor.children(recursive=True)]


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    """Address and port of every socket that accepts connections."""
    found: set[tuple[str, int]] = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            connections = process.net_connections("inet")
            found |= {(one.laddr.ip, one.laddr.port) for one in connections if one.status == psutil.CONN_LISTEN}
    return found


def words(processes: Iterable[psutil.Process]) -> set[str]:
    """Every word on their command lines."""
    found: set[str] = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found |= set(process.cmdline())
    return found
