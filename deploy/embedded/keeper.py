"""Keeps one process alive, on a thread of its own: starts it, watches it, starts it again.

The first restart is immediate, because a service that was healthy and got killed will most likely come back. A process that
ends before it was healthy for a while is started again after 0.5, 1, 2 ... 15 seconds, for ever: the cause may be a full disk that
somebody is clearing up. One that was healthy, however briefly, waits a second at most: what ends a worker again and again is an event,
and each restart is a step towards finding out which.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from subprocess import Popen

import psutil

from deploy.embedded.layout import DataFolder
from deploy.embedded.logs import explain, keep_small, tail
from deploy.embedded.parts import ProcessSpec
from deploy.embedded.probes import NotReady
from deploy.embedded.processes import forget, spawn, terminate
from deploy.embedded.state import ProcessState

__all__ = ["Keeper", "backoff_s"]

_LONG_ENOUGH_S = 5.0
_LONGEST_PAUSE_S = 15.0
#: No more quick failures are counted of a process that was healthy: the pause that belongs to them is a second.
_MOST_IF_SERVED = 3
_PROBE_WHILE_STARTING_S = 0.1
_PROBE_WHILE_UNWELL_S = 0.5
_PROBE_WHILE_HEALTHY_S = 2.0
_LOG_CHECK_S = 10.0
_CHILDREN_PATIENCE_S = 2.0


def backoff_s(quick_failures: int) -> float:
    """The pause before the next start, after so many processes in a row that did not live long."""
    return 0.0 if quick_failures < 2 else min(0.5 * 2.0 ** (quick_failures - 2), _LONGEST_PAUSE_S)


class Keeper:
    """One process and its history. `state()` may be called from any thread; `stop()` returns when the process is gone."""

    def __init__(self, folder: DataFolder, spec: ProcessSpec) -> None:
        self.spec = spec
        self._folder = folder
        self._stop = threading.Event()
        self._wake = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, name=f"keep-{spec.name}", daemon=True)
        self._process: Popen[bytes] | None = None
        self._healthy = threading.Event()
        self._served = False  # whether the present process has ever been healthy
        self._starts = 0
        self._detail = "not started yet"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the process with its own signal and patience."""
        self._stop.set()
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            self._detail = "stopping"
            whole = psutil.Process(process.pid)
            children = whole.children(recursive=True)
            terminate([whole], self.spec.stop_patience_s, self.spec.stop_signal)
            process.wait()
            # They follow their parent by themselves; a frozen or very busy one is helped along.
            terminate(children, _CHILDREN_PATIENCE_S)
        with contextlib.suppress(OSError):
            self.spec.tidy()
        forget(self._folder, self.spec.name)
        self._healthy.clear()
        self._process = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def healthy(self) -> bool:
        return self._healthy.is_set()

    def wait_healthy(self, timeout_s: float) -> bool:
        return self._healthy.wait(timeout_s)

    def state(self) -> ProcessState:
        healthy = self.healthy
        return ProcessState(
            name=self.spec.name,
            pid=self.pid,
            healthy=healthy,
            restarts=max(0, self._starts - 1),
            metrics=self.spec.metrics,
            detail="" if healthy else self._detail,
        )

    def _run(self) -> None:
        quick_failures = 0
        while not self._stop.wait(backoff_s(quick_failures)):
            started = time.monotonic()
            self._served = False
            reason = self._one_life()
            if self._stop.is_set():
                return
            self._healthy.clear()
            self._detail = reason
            quick_failures += 1
            if self._served:
                lived_s = time.monotonic() - started
                quick_failures = 1 if lived_s > _LONG_ENOUGH_S else min(quick_failures, _MOST_IF_SERVED)

    def _one_life(self) -> str:
        """Start the process and watch it until it ends or must be ended. Returns why."""
        self._starts += 1
        keep_small(self._folder.log(self.spec.name))
        try:
            self.spec.tidy()
            process = spawn(self._folder, self.spec.name, self.spec.command, self.spec.environment, self.spec.run_as)
        except OSError as error:
            return f"it could not be started: {explain(str(error))}"
        self._process = process
        try:
            pidfd = os.pidfd_open(process.pid)
        except OSError as error:
            process.kill()
            process.wait()
            return f"it could not be watched: {explain(str(error))}"
        try:
            return self._watch(process, pidfd)
        finally:
            os.close(pidfd)

    def _watch(self, process: Popen[bytes], pidfd: int) -> str:
        answered = time.monotonic()
        patience_s = self.spec.start_patience_s
        next_log_check = answered + _LOG_CHECK_S
        pause_s = _PROBE_WHILE_STARTING_S
        while not self._stop.is_set():
            if _ended(process, pidfd, self._wake, pause_s):
                return (
                    f"it ended with code {process.returncode}: {explain(tail(self._folder.log(self.spec.name), 2048))}"
                )
            if self._probe():
                answered, patience_s = time.monotonic(), self.spec.freeze_patience_s
                pause_s = _PROBE_WHILE_HEALTHY_S
            elif self._is_alive():
                answered, patience_s = time.monotonic(), self.spec.freeze_patience_s
                pause_s = _PROBE_WHILE_UNWELL_S
            elif time.monotonic() - answered > patience_s:
                terminate([psutil.Process(process.pid)], 0.5)
                process.wait()
                return f"it did not answer for {patience_s:.0f} s and was killed"
            else:
                # Quick at first, so that a fast start is seen; then slower, because Postgres logs each attempt.
                pause_s = min(pause_s * 1.3, _PROBE_WHILE_UNWELL_S)
            if time.monotonic() > next_log_check:
                keep_small(self._folder.log(self.spec.name))
                next_log_check = time.monotonic() + _LOG_CHECK_S
        return "stopping"

    def _probe(self) -> bool:
        try:
            self.spec.probe()
        except NotReady as problem:
            self._detail = str(problem)
            self._healthy.clear()
            return False
        self._healthy.set()
        self._served = True
        return True

    def _is_alive(self) -> bool:
        if self.spec.alive is None:
            return False
        try:
            self.spec.alive()
        except NotReady:
            return False
        return True


def _ended(process: Popen[bytes], pidfd: int, wake: int, pause_s: float) -> bool:
    """Sleep until the process ends, somebody wakes us, or `pause_s` is over; true when it ended. Polls nothing."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(wake, select.POLLIN)
    poller.poll(pause_s * 1000)
    return process.poll() is not None
