"""Waiting for a stack to get where a test wants it. No limit of its own: pytest's timeout is the limit."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from deploy.embedded import Stack, StackState
from deploy.embedded.state import ModelState

__all__ = ["everything", "model", "pids", "until"]


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


def everything(state: StackState) -> list[psutil.Process]:
    """The supervisor and all that descends from it."""
    supervisor = psutil.Process(state.supervisor_pid)
    return [supervisor, *supervisor.children(recursive=True)]
