"""`/metrics`, `/healthz` and `/readyz` over a real socket."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.telemetry import Health, health, serve_health


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(health, "time", made)
    return made


@pytest.fixture
def said(clock: Clock) -> Health:
    return Health(stale_after_s=30)


@pytest.fixture
def address(said: Health) -> Iterator[http.client.HTTPConnection]:
    port = serve_health(said, "127.0.0.1", 0)
    assert port is not None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    yield connection
    connection.close()


def get(address: http.client.HTTPConnection, path: str) -> tuple[int, Any]:
    address.request("GET", path)
    response = address.getresponse()
    body = response.read().decode()
    return response.status, json.loads(body) if response.getheader("Content-Type") == "application/json" else body


def test_a_process_that_makes_progress_is_alive(
    said: Health, address: http.client.HTTPConnection, clock: Clock
) -> None:
    clock.now += 29
    assert get(address, "/healthz") == (200, {"alive": True, "last_progress_s": 29.0})
    clock.now += 2
    assert get(address, "/healthz") == (503, {"alive": False, "last_progress_s": 31.0})
    said.beat()
    assert get(address, "/healthz")[0] == 200


def test_liveness_never_looks_at_a_dependency(said: Health, address: http.client.HTTPConnection) -> None:
    said.set_condition("postgres", "Postgres is away")
    assert get(address, "/healthz")[0] == 200


def test_readiness_lists_what_does_not_hold(said: Health, address: http.client.HTTPConnection) -> None:
    assert get(address, "/readyz") == (200, {"ready": True, "problems": {}})
    said.set_condition("postgres", "Postgres is away")
    said.set_condition("broker", None)
    assert get(address, "/readyz") == (503, {"ready": False, "problems": {"postgres": "Postgres is away"}})
    said.set_condition("postgres", None)
    assert get(address, "/readyz")[0] == 200


def test_metrics_are_in_prometheus_text_format(address: http.client.HTTPConnection) -> None:
    status, body = get(address, "/metrics")
    assert status == 200
    assert "# HELP tidegate_in_flight_messages " in body


def test_another_path_says_which_there_are(address: http.client.HTTPConnection) -> None:
    assert get(address, "/") == (404, {"paths": ["/metrics", "/healthz", "/readyz"]})


def test_a_negative_port_serves_nothing() -> None:
    assert serve_health(Health(), "127.0.0.1", -1) is None
