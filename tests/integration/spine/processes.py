"""Real dispatchers and workers as processes, started with a deployment's environment alone, as in production.

    with running("worker", deployment) as worker: ...     # answers on worker.port; ended in good order, or killed, at the end

What each prints is kept in a file, and shown when a test that waits for it gives up.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["PATIENCE_S", "KeptAlive", "Process", "eventually", "free_port", "running"]

#: No test depends on how long anything takes; this only ends those that hang.
PATIENCE_S = 90.0

_ROOT = Path(__file__).resolve().parents[3]

T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, *, patience_s: float = PATIENCE_S, every_s: float = 0.1) -> T:
    """Repeat `look` until it gives something true, and return that."""
    give_up_at = time.monotonic() + patience_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > give_up_at:
            raise AssertionError(f"never happened: {what}; last seen: {seen!r}")
        time.sleep(every_s)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One dispatcher or worker."""

    def __init__(self, kind: str, environment: Mapping[str, str], log: Path) -> None:
        self.kind = kind
        self.port = free_port()
        self.log = log
        variables = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        variables |= {**environment, "TIDEGATE_METRICS_PORT": str(self.port)}
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", f"consumers.{kind}"],
                cwd=_ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def ready(self) -> bool:
        """Whether `/readyz` says so."""
        return self.answer("/readyz")[0] == 200

    def problems(self) -> dict[str, str]:
        """What `/readyz` says is not well."""
        problems: dict[str, str] = self.answer("/readyz")[1].get("problems", {})
        return problems

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one of the health endpoints; 0 while nobody answers."""
        status, body = self._get(path)
        return status, json.loads(body) if body else {}

    def metric(self, name: str, **labels: str) -> float:
        """The value of a sample, the sum of those with these labels; 0 where there is none."""
        _, body = self._get("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_ready(self) -> None:
        self.wait(self.ready, "ready")

    def wait(self, look: Callable[[], T], what: str, *, patience_s: float = PATIENCE_S) -> T:
        """As `eventually`, and with the end of the log when it never happens."""
        try:
            return eventually(look, f"{self.kind}: {what}", patience_s=patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; problems: {self.problems()}; log:\n{self.tail()}") from None

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]

    def logged(self) -> list[dict[str, Any]]:
        """The log's lines that are JSON."""
        lines = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def freeze(self) -> None:
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()

    def stop(self, patience_s: float = 60) -> int:
        """SIGTERM, and wait; the exit code."""
        self._popen.send_signal(signal.SIGCONT)
        self._popen.terminate()
        try:
            return self._popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._popen.send_signal(signal.SIGABRT)  # with the stack of every thread
            self._popen.wait()
            raise AssertionError(f"{self.kind} did not stop; log:\n{self.tail()}") from None

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return int(response.status), response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, ValueError):
            return 0, ""


@contextmanager
def running(kind: str, environment: Mapping[str, str], folder: Path, *, wait: bool = True) -> Iterator[Process]:
    """A process for the time of the block; it logs to a file of its own in `folder`."""
    process = Process(kind, environment, folder / f"{kind}-{time.monotonic_ns()}.log")
    try:
        if wait:
            process.wait(lambda: process.answer("/readyz")[0] and "group" not in process.problems(), "up")
        yield process
    finally:
        if process.returncode is None:
            process.kill()


class KeptAlive:
    """A process that somebody starts again whenever it ends, as a supervisor does."""

    def __init__(self, kind: str, environment: Mapping[str, str], folder: Path) -> None:
        self._make: Callable[[], Process] = lambda: Process(
            kind, environment, folder / f"{kind}-{time.monotonic_ns()}.log"
        )
        self.process = self._make()
        self.ends: list[int] = []  # exit codes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keep-alive", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        if self.process.returncode is None:
            self.process.kill()

    def _keep(self) -> None:
        while not self._stop.wait(0.1):
            code = self.process.returncode
            if code is not None:
                self.ends.append(code)
                self.process = self._make()
