"""The embedded stack as an object: `up`, `down`, `status`. The command line, tests and the chaos tool all use this.

    stack = Stack("/var/lib/tidegate")
    state = stack.up()                       # returns when everything is healthy
    environment = stack_environment(state)   # TIDEGATE_KAFKA_BOOTSTRAP, ...
    stack.down()

    with running_parts(folder, {"kafka", "postgres"}) as environment:
        ...                                  # a test that needs these two

The stack runs in a supervisor process of its own and outlives this one. What must not happen twice is guarded by the
lock of the data folder, so `up` and `down` may be called from anywhere, at any time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from deploy.embedded.layout import DataFolder
from deploy.embedded.logs import explain, keep_small, tail
from deploy.embedded.parts import Part
from deploy.embedded.plan import ALL_PARTS, PartName, Plan, check_place, parts_of, port_names, write_plan
from deploy.embedded.ports import PortClaims, remember_ports
from deploy.embedded.preflight import check_disk
from deploy.embedded.processes import (
    SUPERVISOR,
    ProcessRef,
    StackLock,
    end_leftovers,
    find_leftovers,
    forget,
    record,
    recorded,
    terminate,
)
from deploy.embedded.shared_memory import remove_stale_regions
from deploy.embedded.state import StackState, read_state, stack_environment
from services.errors import ConfigurationError

__all__ = ["Stack", "Tell", "default_model_repository", "running_parts"]

#: Called with the name of a part (or "stack") and a sentence on what it does now.
Tell = Callable[[str, str], None]

#: Longer than the supervisor takes when every process uses up its patience.
_DOWN_PATIENCE_S = 150.0
#: A state that was not written for so long: the supervisor is stuck or its disk is full.
_STALE_AFTER_S = 20.0
#: After so many ends in a row without ever being healthy, waiting longer tells the user nothing new.
_HOPELESS_RESTARTS = 5
_HOPELESS_PREPARATIONS = 3
_HOPELESS_LOAD_S = 15.0


def default_model_repository() -> tuple[Path, ...]:
    """The project's own `model_repo`, where it is installed."""
    path = Path(__file__).resolve().parents[2] / "model_repo"
    return (path,) if path.is_dir() else ()


def _silent(_name: str, _sentence: str) -> None:
    """Tell nobody."""


class Stack:
    """One data folder and what should run in it."""

    def __init__(
        self,
        data_dir: Path | str | None = None,
        *,
        parts: Collection[PartName] = ALL_PARTS,
        workers: int = 1,
        dispatchers: int = 1,
        app: bool = True,
        model_repositories: Collection[Path] | None = None,
        patience_s: float = 240.0,
    ) -> None:
        self._folder = DataFolder.at(data_dir)
        self._parts = frozenset(parts)
        self._workers = workers if app else 0
        self._dispatchers = dispatchers if app else 0
        self._repositories = default_model_repository() if model_repositories is None else tuple(model_repositories)
        self._patience_s = patience_s
        #: Whether the last `up` found the stack running already.
        self.was_running = False

    @property
    def folder(self) -> DataFolder:
        return self._folder

    def up(self, tell: Tell = _silent) -> StackState:
        """Start everything and wait until it is healthy; if it runs already, only wait.

        Raises:
            ConfigurationError: it cannot start, or is not healthy in time; the message says what to do. In the second case
                it stays up and the supervisor goes on trying.
        """
        plan = Plan.from_environment(
            self._parts, workers=self._workers, dispatchers=self._dispatchers, model_repositories=self._repositories
        )
        check_place(plan, self._folder)
        self._folder.create()
        deadline = time.monotonic() + self._patience_s
        self.was_running = False
        while True:
            lock = StackLock(self._folder)
            if self._take(lock):
                self.was_running = False
                return self._start(lock, plan, deadline, tell)
            if not self.was_running:
                tell("stack", "runs already")
                self.was_running = True
            state = self._wait_healthy(None, deadline, tell)
            if state is not None:
                return state
            # It was on its way down, or another `up` failed: it is for us to start it.

    def _start(self, lock: StackLock, plan: Plan, deadline: float, tell: Tell) -> StackState:
        claims = PortClaims()
        try:
            self._prepare(plan, claims, tell)
            supervisor = self._start_supervisor(lock, claims)
        except OSError as error:
            raise ConfigurationError(_what_to_do(error, self._folder)) from error
        finally:
            claims.release()
            lock.release()
        try:
            state = self._wait_healthy(supervisor, deadline, tell)
        finally:
            # It outlives this call; whoever lives longer than it, such as a test, must not keep it as a zombie.
            threading.Thread(target=supervisor.wait, name="reap-supervisor", daemon=True).start()
        if state is None:
            raise ConfigurationError("the stack was stopped by another command while it started")
        return state

    def down(self, tell: Tell = _silent) -> bool:
        """Stop everything, in reverse order, with patience. False when nothing ran."""
        folder = self._folder
        if not folder.run.is_dir():
            return False
        ran = False
        lock = StackLock(self._folder)
        while not self._take(lock):
            ran = True
            supervisor = self._supervisor()
            if supervisor is None:
                tell("stack", "waits for a start that is under way")
                time.sleep(0.2)
                continue
            tell("stack", "stopping")
            terminate([supervisor], _DOWN_PATIENCE_S)
            if not self._take(lock):
                return True  # what ran is gone; another command has started the stack anew
            break
        try:
            leftovers = find_leftovers(folder)
            if leftovers:
                ran = True
                tell("stack", f"ending {len(leftovers)} processes that an earlier start left behind")
                end_leftovers(folder, leftovers)
            folder.state.unlink(missing_ok=True)
            forget(folder, SUPERVISOR)
            remove_stale_regions()
        finally:
            lock.release()
        return ran

    def status(self) -> StackState | None:
        """What the supervisor last wrote, corrected where it can no longer be true. None: nothing runs."""
        state = read_state(self._folder.root)
        if state is None:
            return None
        if ProcessRef(state.supervisor_pid, state.supervisor_created).live() is None:
            message = "the supervisor was killed and nothing is watched: run `tidegate up` again"
            return state.model_copy(update={"healthy": False, "message": message})
        if time.time() - state.written_at > _STALE_AFTER_S:
            message = "the supervisor has not written its state for a while: is the disk of the data folder full?"
            return state.model_copy(update={"healthy": False, "message": message})
        return state

    def _take(self, lock: StackLock) -> bool:
        try:
            return lock.acquire()
        except OSError as error:
            raise ConfigurationError(_what_to_do(error, self._folder)) from error

    def _prepare(self, plan: Plan, claims: PortClaims, tell: Tell) -> None:
        folder = self._folder
        check_disk(folder.root)
        leftovers = find_leftovers(folder)
        if leftovers:
            tell("stack", f"ending {len(leftovers)} processes that an earlier start left behind")
            end_leftovers(folder, leftovers)
        folder.state.unlink(missing_ok=True)
        ports, notes = remember_ports(folder.ports, port_names(plan), claims)
        for note in notes:
            tell("stack", note)
        plan = plan.model_copy(update={"ports": ports})
        write_plan(folder, plan)
        parts = parts_of(plan, folder)
        with ThreadPoolExecutor(max(1, len(parts))) as pool:
            for result in [pool.submit(_prepare_part, part, tell) for part in parts]:
                result.result()

    def _start_supervisor(self, lock: StackLock, claims: PortClaims) -> subprocess.Popen[bytes]:
        folder = self._folder
        log = folder.log(SUPERVISOR)
        keep_small(log)
        inherited = (*claims.descriptors, *(() if lock.descriptor is None else (lock.descriptor,)))
        command = [sys.executable, "-m", "deploy.embedded.supervisor", str(folder.root), str(lock.descriptor)]
        with log.open("ab") as output:
            supervisor = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder.root,
                start_new_session=True,
                pass_fds=inherited,
            )
        record(folder, SUPERVISOR, supervisor.pid)
        return supervisor

    def _wait_healthy(
        self, supervisor: subprocess.Popen[bytes] | None, deadline: float, tell: Tell
    ) -> StackState | None:
        """Until everything is healthy. None: nobody holds the stack any more. `supervisor` is the one that we started."""
        hopeless_since: float | None = None
        while True:
            state = self.status()
            if state is not None:
                _tell_progress(state, tell)
                if state.healthy:
                    return state
                hopeless = _hopeless(state)
                hopeless_since = (hopeless_since or time.monotonic()) if hopeless else None
            gave_up = hopeless_since is not None and time.monotonic() - hopeless_since > _HOPELESS_LOAD_S
            if gave_up or time.monotonic() > deadline:
                raise ConfigurationError(self._complaint(state))
            if supervisor is not None and supervisor.poll() not in {None, 0, -signal.SIGTERM}:
                reason = explain(tail(self._folder.log(SUPERVISOR), 2048))
                raise ConfigurationError(f"the supervisor ended with code {supervisor.returncode}: {reason}")
            time.sleep(0.1)
            if self._supervisor() is None:
                return None

    def _supervisor(self) -> psutil.Process | None:
        """The process that watches this stack. None also while `up` still prepares."""
        process = recorded(self._folder, SUPERVISOR)
        if process is None:
            state = read_state(self._folder.root)
            process = ProcessRef(state.supervisor_pid, state.supervisor_created).live() if state else None
        return process

    def _complaint(self, state: StackState | None) -> str:
        problems = [] if state is None else [f"{one.name} {one.detail}" for one in state.processes if not one.healthy]
        if state is not None:
            problems += [f"model {one.name} {one.detail}" for one in state.models if not one.healthy]
            problems += [state.message] if state.message else []
        return (
            f"the stack is not healthy: {'; '.join(problems) or 'the supervisor does not report'}. It goes on trying; "
            f"the logs are in {self._folder.logs}. See `tidegate status`, stop it with `tidegate down`"
        )


@contextlib.contextmanager
def running_parts(
    data_dir: Path | str,
    parts: Collection[PartName],
    *,
    model_repositories: Collection[Path] = (),
    patience_s: float = 240.0,
) -> Iterator[dict[str, str]]:
    """Servers without the app, for the time of a block; yields the `TIDEGATE_*` variables that find them."""
    stack = Stack(data_dir, parts=parts, app=False, model_repositories=model_repositories, patience_s=patience_s)
    try:
        yield stack_environment(stack.up())
    finally:
        stack.down()


def _prepare_part(part: Part, tell: Tell) -> None:
    tell(part.name, "preparing")
    part.prepare(lambda sentence: tell(part.name, sentence))
    tell(part.name, "starting")


def _tell_progress(state: StackState, tell: Tell) -> None:
    if state.message:
        tell("stack", state.message)
    for process in state.processes:
        tell(process.name, "healthy" if process.healthy else f"starting: {process.detail}")
    for model in state.models:
        tell(f"model {model.name}", "healthy" if model.healthy else model.detail)


def _hopeless(state: StackState) -> bool:
    return (
        state.failed_preparations >= _HOPELESS_PREPARATIONS
        or any(not one.healthy and one.restarts >= _HOPELESS_RESTARTS for one in state.processes)
        or any(not one.healthy and one.detail.startswith("cannot be loaded") for one in state.models)
    )


def _what_to_do(error: OSError, folder: DataFolder) -> str:
    what = error.strerror or type(error).__name__
    where = f" {os.fspath(error.filename)}" if error.filename else ""
    return f"the data folder {folder.root} cannot be used ({what}{where}): {explain(what)}"
