"""`/metrics`, `/healthz` and `/readyz` of one process, on a thread of its own.

`/healthz` answers for the process's own progress only: 200 while `Health.beat()` was called within `stale_after_s`. It never
looks at a dependency, because restarting this process cannot repair another one. `/readyz` is 200 only when every named
condition is true, and lists those that are not. Neither promises that the next message will succeed.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.telemetry import metrics
from services.telemetry.logging import get_logger

__all__ = ["Health", "serve_health"]

_log = get_logger(__name__)


class Health:
    """What a process says of itself. Thread-safe."""

    def __init__(self, stale_after_s: float = 30.0) -> None:
        self._stale_after_s = stale_after_s
        self._last_beat = time.monotonic()
        self._conditions: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def beat(self) -> None:
        """The loop went round once more."""
        self._last_beat = time.monotonic()

    def set_condition(self, name: str, problem: str | None) -> None:
        """Readiness: `problem` is None when the condition holds, else one sentence for an operator."""
        with self._lock:
            self._conditions[name] = problem

    def alive(self) -> tuple[bool, float]:
        """Whether the loop makes progress, and the seconds since its last beat."""
        age = time.monotonic() - self._last_beat
        return age <= self._stale_after_s, age

    def problems(self) -> dict[str, str]:
        """The conditions that do not hold."""
        with self._lock:
            return {name: problem for name, problem in self._conditions.items() if problem is not None}


def serve_health(health: Health, host: str, port: int) -> int | None:
    """Serve the three endpoints in a daemon thread; returns the bound port, or None when `port` is negative."""
    if port < 0:
        return None
    metrics.BUILD_INFO.info({"version": version("tidegate")})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                alive, age = health.alive()
                self._answer_json(200 if alive else 503, {"alive": alive, "last_progress_s": round(age, 3)})
            elif self.path == "/readyz":
                problems = health.problems()
                self._answer_json(503 if problems else 200, {"ready": not problems, "problems": problems})
            else:
                self._answer_json(404, {"paths": ["/metrics", "/healthz", "/readyz"]})

        def _answer_json(self, status: int, body: object) -> None:
            self._answer(status, json.dumps(body).encode(), "application/json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    bound = int(server.server_address[1])
    _log.info("health endpoints are up", host=host, port=bound)
    return bound
