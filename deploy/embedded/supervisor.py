"""The process behind `tidegate up`: starts the plan's parts side by side, then the app, and keeps them alive.

    python -m deploy.embedded.supervisor DATA LOCK_FD

It holds the lock of the data folder (inherited from `up`), writes the state file, and ends everything in reverse order on SIGTERM:
dispatchers, workers, then the servers. If it is killed itself, its children go on; the next `up` ends them and starts anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from deploy.embedded.keeper import Keeper, backoff_s
from deploy.embedded.layout import DataFolder
from deploy.embedded.logs import explain, tail
from deploy.embedded.models import Models
from deploy.embedded.parts import PREPARE_COMMAND, app_environment, app_process
from deploy.embedded.plan import Plan, endpoints_of, parts_of, read_plan
from deploy.embedded.processes import ProcessRef, StackLock, forget, spawn
from deploy.embedded.state import Phase, StackState, stack_environment, write_state
from deploy.embedded.triton_http import TritonHttp

__all__ = ["Supervisor", "main"]

_TICK_S = 0.2
#: The state is written at least this often, so that its age shows whether the supervisor still can.
_HEARTBEAT_S = 5.0


class Supervisor:
    """The whole stack of one data folder."""

    def __init__(self, folder: DataFolder, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._endpoints = endpoints_of(plan, folder)
        self._servers = [Keeper(folder, part.spec()) for part in parts_of(plan, folder)]
        self._app: list[Keeper] = []
        self._models: Models | None = None
        triton = next((keeper for keeper in self._servers if keeper.spec.name == "triton"), None)
        if triton is not None:
            self._models = Models(
                plan.model_repositories,
                TritonHttp(plan.ports["triton-http"]),
                lambda: triton.pid if triton.healthy else None,
                lambda: _kill(triton.pid),
            )
        myself = ProcessRef.of(os.getpid())
        self._created = myself.created if myself else 0.0
        self._stop = threading.Event()
        self._message = ""
        self._failed_preparations = 0
        self._app_started = not plan.app_names
        self._written: StackState | None = None

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        for keeper in self._servers:
            keeper.start()
        starter = threading.Thread(target=self._start_app, name="start-app", daemon=True)
        if not self._app_started:
            starter.start()
        while not self._stop.wait(_TICK_S):
            if self._models is not None:
                self._models.look()
            self._write(self._state("running" if self._app_started else "starting"))
        if starter.is_alive():
            starter.join(timeout=10)
        self._shut_down()

    def _start_app(self) -> None:
        """Prepare the database and the topics, then start dispatchers and workers."""
        needed = [keeper for keeper in self._servers if keeper.spec.name in {"kafka", "postgres", "valkey"}]
        while not all(keeper.healthy for keeper in needed):
            if self._stop.wait(0.05):
                return
        environment = self._addresses()
        while not self._prepare(environment):
            self._failed_preparations += 1
            if self._stop.wait(backoff_s(self._failed_preparations + 1)):
                return
        self._failed_preparations = 0
        for name in self._plan.app_names:
            kind, _, number = name.partition("-")
            self._app.append(Keeper(self._folder, app_process(kind, int(number), self._plan.ports[name], environment)))
        for keeper in self._app:
            keeper.start()
        self._message = ""
        self._app_started = True

    def _prepare(self, environment: Mapping[str, str]) -> bool:
        if not self._failed_preparations:  # else the reason stays to be seen
            self._message = "preparing the database and the topics"
        try:
            process = spawn(self._folder, "prepare", PREPARE_COMMAND, app_environment(environment))
        except OSError as error:
            self._message = f"the database and the topics could not be prepared: {explain(str(error))}"
            return False
        while process.poll() is None:
            if self._stop.wait(0.05):
                process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        forget(self._folder, "prepare")
        if process.returncode != 0:
            reason = explain(tail(self._folder.log("prepare"), 2048))
            self._message = f"the database and the topics could not be prepared: {reason}"
        return process.returncode == 0

    def _addresses(self) -> dict[str, str]:
        return stack_environment(self._state("starting"))

    def _state(self, phase: Phase) -> StackState:
        keepers = [*self._servers, *self._app]
        processes = [keeper.state() for keeper in keepers]
        models = self._models.states() if self._models else []
        stubs = self._models.stub_states() if self._models else []
        well = all(process.healthy for process in processes) and all(model.healthy for model in models)
        return StackState(
            data_dir=self._folder.root,
            phase=phase,
            healthy=well and phase == "running",
            message=self._message,
            supervisor_pid=os.getpid(),
            supervisor_created=self._created,
            failed_preparations=self._failed_preparations,
            endpoints=self._endpoints,
            processes=(*processes, *stubs),
            models=tuple(models),
            written_at=time.time(),
        )

    def _write(self, state: StackState) -> None:
        old = self._written
        if (
            old is not None
            and state.written_at - old.written_at < _HEARTBEAT_S
            and state.model_copy(update={"written_at": old.written_at}) == old
        ):
            return
        with contextlib.suppress(OSError):  # a full disk must not end the supervisor; the old time shows it
            write_state(self._folder, state)
            self._written = state

    def _shut_down(self) -> None:
        """In reverse order. Dispatchers go first, while the workers can still finish what is in flight."""
        if self._models is not None:
            self._models.stop()
        dispatchers = [keeper for keeper in self._app if keeper.spec.name.startswith("dispatcher")]
        workers = [keeper for keeper in self._app if keeper not in dispatchers]
        for group in (dispatchers, workers, self._servers):
            self._write(self._state("stopping"))
            if group:
                with ThreadPoolExecutor(len(group)) as pool:
                    list(pool.map(Keeper.stop, group))
        with contextlib.suppress(OSError):
            self._folder.state.unlink(missing_ok=True)


def _kill(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Entry point of the process that `up` starts."""
    folder = DataFolder.at(sys.argv[1])
    lock = StackLock(folder, int(sys.argv[2]))
    Supervisor(folder, read_plan(folder)).run()
    lock.release()


if __name__ == "__main__":
    main()
