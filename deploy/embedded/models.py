"""Loads every model, asks each one a real question every two seconds, and heals a stub that died or froze.

Triton does not start a dead stub again, and live, ready and model-ready all stay 200 (measured): only an inference or a look at
the process shows it, and only unload + load repairs it. A model that is merely busy is left alone: a canary that waits
counts as an answer while the model's own counter of inferences goes up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from deploy.embedded.canary import canary_request
from deploy.embedded.keeper import backoff_s
from deploy.embedded.model_files import Fingerprints, find_models
from deploy.embedded.processes import ProcessRef
from deploy.embedded.state import ModelState, ProcessState
from deploy.embedded.stubs import Stub, stubs_of
from deploy.embedded.triton_http import TritonHttp, TritonRefused, TritonUnreachable

__all__ = ["ModelCare", "Models"]

_ROUND_S = 0.5
_CANARY_EVERY_S = 2.0
_CANARY_TIMEOUT_S = 5.0
#: Without any answer for so long, a model is frozen and not busy: the longest text that is accepted takes 17 s of a quiet core, and
#: one worker lets no more than that into the server at once (`services.inference.load`).
_FROZEN_AFTER_S = 90.0
#: A stub that somebody stopped (SIGSTOP) for so long. With two instances the other one answers the canary, so only this shows it.
_STOPPED_TOO_LONG_S = 20.0
_LOAD_TIMEOUT_S = 300.0
#: A stub that dies while it holds a request, as the text that kills it makes it do, leaves Triton waiting for its answer for ever
#: (measured: the unload never ended), and every second of it is an outage of the model. Living stubs finish theirs well before.
_UNLOAD_TIMEOUT_S = 6.0
#: A stub that is gone for two looks in a row; one look may fall into a reload by somebody else.
_LOOKS_UNTIL_DEAD = 2
_STUB_DEAD = ("stub process", "is not healthy", "stub exit")


class ModelCare:
    """One model, on a thread of its own."""

    def __init__(
        self, folder: Path, http: TritonHttp, server_pid: Callable[[], int | None], restart_server: Callable[[], None]
    ) -> None:
        self.name = folder.name
        self._folder = folder
        self._http = http
        self._server_pid = server_pid
        self._restart_server = restart_server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"model-{self.name}", daemon=True)
        self._fingerprints = Fingerprints()
        self._versions: tuple[str, ...] = ()
        self._stubs: tuple[Stub, ...] = ()
        self._detail = "waits for Triton"
        self._healthy = False
        self._heals = 0
        self._failed_loads = 0
        self._short_looks = 0
        self._stopped_since: dict[ProcessRef, float] = {}
        self._next_canary = 0.0
        self._answered = time.monotonic()
        self._count = -1

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def states(self) -> list[ModelState]:
        versions = self._versions or ("",)
        healthy = self._healthy
        detail = "" if healthy else self._detail
        if healthy and (self._short_looks or any(stub.process.live() is None for stub in self._stubs)):
            healthy, detail = False, "a stub process died"
        return [
            ModelState(
                name=self.name,
                version=version,
                sha256=self._fingerprints.of(self._folder, version) if version else "",
                healthy=healthy,
                heals=self._heals,
                detail=detail,
            )
            for version in versions
        ]

    def stub_states(self) -> list[ProcessState]:
        """The model's stubs as processes. With several instances the names repeat, the pids do not."""
        name = f"triton-stub:{self.name}"
        alive = [stub for stub in self._stubs if stub.process.live() is not None]
        return [
            ProcessState(name=name, pid=stub.process.pid, healthy=self._healthy, restarts=self._heals) for stub in alive
        ]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._round()
            except TritonUnreachable:
                self._unwell("Triton does not answer")
                self._answered = time.monotonic()
            except TritonRefused as refusal:
                self._unwell(_first_line(refusal))
            self._stop.wait(_ROUND_S)

    def _round(self) -> None:
        pid = self._server_pid()
        if pid is None:
            self._unwell("waits for Triton")
            self._answered = time.monotonic()
            return
        states = {
            entry.get("version", ""): entry.get("state", "")
            for entry in self._http.index()
            if entry["name"] == self.name
        }
        self._versions = tuple(sorted((v for v, state in states.items() if state == "READY"), key=_version_order))
        if not self._versions:
            if "LOADING" not in states.values():
                self._load()
            return
        config = self._http.config(self.name)
        if not self._has_its_stubs(pid, config):
            return
        if time.monotonic() >= self._next_canary:
            self._next_canary = time.monotonic() + _CANARY_EVERY_S
            self._ask(config)

    def _load(self) -> None:
        self._unwell("is loading")
        self._stubs = ()
        started = time.monotonic()
        try:
            self._http.load(self.name, _LOAD_TIMEOUT_S)
        except TritonUnreachable:
            if time.monotonic() - started < _LOAD_TIMEOUT_S:
                raise  # Triton went away meanwhile
            self._unwell("loading it takes for ever; Triton is started again")
            self._restart_server()
            return
        except TritonRefused as refusal:
            self._failed_loads += 1
            self._unwell(f"cannot be loaded: {_first_line(refusal)}")
            self._stop.wait(backoff_s(self._failed_loads + 1))
            return
        self._failed_loads = 0
        self._next_canary = 0.0
        self._answered = time.monotonic()

    def _has_its_stubs(self, pid: int, config: dict[str, object]) -> bool:
        """One for each instance, and none of them stopped; loads the model again where that is not so."""
        stubs = tuple(stub for stub in stubs_of(pid) if stub.model == self.name)
        self._stubs = stubs
        if self._stopped_too_long(stubs):
            self._heal("a stub process was frozen")
            return False
        wanted = _instances(config)
        missing = any(sum(stub.version == version for stub in stubs) < wanted for version in self._versions)
        self._short_looks = self._short_looks + 1 if missing else 0
        if self._short_looks >= _LOOKS_UNTIL_DEAD:
            self._heal("a stub process died")
        return not missing

    def _stopped_too_long(self, stubs: Iterable[Stub]) -> bool:
        now = time.monotonic()
        stopped = {stub.process for stub in stubs if stub.stopped}
        self._stopped_since = {process: self._stopped_since.get(process, now) for process in stopped}
        return any(now - since > _STOPPED_TOO_LONG_S for since in self._stopped_since.values())

    def _ask(self, config: dict[str, object]) -> None:
        request = canary_request(config)
        try:
            if request is not None:
                self._http.infer(self.name, request, _CANARY_TIMEOUT_S)
        except TritonRefused as refusal:
            text = str(refusal).lower()
            if any(sign in text for sign in _STUB_DEAD):
                self._heal("a stub process is dead")
            else:
                self._unwell(f"the canary's inference fails: {_first_line(refusal)}")
            return
        except TritonUnreachable:
            count = self._http.inference_count(self.name)
            if count != self._count:
                self._count = count
                self._answered = time.monotonic()
            elif time.monotonic() - self._answered > _FROZEN_AFTER_S:
                self._kill_stubs(self._stubs)
                self._heal("it answered nobody")
            return
        self._answered = time.monotonic()
        self._healthy = True

    def _heal(self, reason: str) -> None:
        """Unload and load; if Triton cannot even do that, Triton itself is started again."""
        self._heals += 1
        self._unwell(f"is being loaded again: {reason}")
        self._short_looks = 0
        # A stopped one would keep the model from being unloaded; the others may finish what they have.
        stopped = [stub for stub in self._stubs if stub.stopped]
        self._kill_stubs(stopped)
        try:
            self._http.unload(self.name, _UNLOAD_TIMEOUT_S)
            deadline = time.monotonic() + _UNLOAD_TIMEOUT_S
            while any(e["name"] == self.name and e.get("state") in {"READY", "UNLOADING"} for e in self._http.index()):
                if time.monotonic() > deadline:
                    raise TritonUnreachable("it does not unload")
                self._stop.wait(0.1)
        except TritonRefused:
            pass  # it was not loaded
        except TritonUnreachable:
            self._restart_server()
            return
        self._load()

    def _kill_stubs(self, stubs: Iterable[Stub]) -> None:
        for stub in stubs:
            process = stub.process.live()
            if process is not None:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def _unwell(self, detail: str) -> None:
        self._healthy = False
        self._detail = detail


class Models:
    """All models of all repositories; folders that appear later are found too."""

    def __init__(
        self,
        repositories: Iterable[Path],
        http: TritonHttp,
        server_pid: Callable[[], int | None],
        restart_server: Callable[[], None],
    ) -> None:
        self._repositories = tuple(repositories)
        self._http = http
        self._server_pid = server_pid
        self._restart_server = restart_server
        self._cared: dict[str, ModelCare] = {}
        self._next_look = 0.0

    def look(self) -> None:
        """Begin to care for new folders, stop caring for those that are gone. Call it often; it looks every few seconds."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + 3.0
        found = find_models(self._repositories)
        for name in self._cared.keys() - found.keys():
            self._cared.pop(name).stop()
        for name in found.keys() - self._cared.keys():
            care = ModelCare(found[name], self._http, self._server_pid, self._restart_server)
            self._cared[name] = care
            care.start()

    def stop(self) -> None:
        for care in self._cared.values():
            care.stop()

    def states(self) -> list[ModelState]:
        return [state for name in sorted(self._cared) for state in self._cared[name].states()]

    def stub_states(self) -> list[ProcessState]:
        return [state for name in sorted(self._cared) for state in self._cared[name].stub_states()]


def _instances(config: dict[str, object]) -> int:
    groups = config.get("instance_group")
    return sum(int(group.get("count", 1)) for group in groups) if isinstance(groups, list) else 1


def _version_order(version: str) -> tuple[int, str]:
    return (int(version) if version.isdigit() else -1, version)


def _first_line(error: Exception) -> str:
    """Triton's messages carry the model's traceback; its last line says what went wrong."""
    lines = [
        line.strip() for line in str(error).splitlines() if line.strip() and not line.strip().startswith(("At:", "/"))
    ]
    return (lines[0] if lines else type(error).__name__)[:300]
