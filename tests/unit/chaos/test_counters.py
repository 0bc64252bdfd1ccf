"""Counters of processes that are killed and begin again at zero."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.embedded import StackState
from deploy.embedded.state import Endpoints, ProcessState
from tests.chaos.counters import Counters, scrape


class _Metrics(ThreadingHTTPServer):
    text = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/metrics"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Metrics)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def metrics() -> Iterator[_Metrics]:
    with _Metrics(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _counters(url: str) -> Counters:
    process = ProcessState(name="dispatcher-1", metrics=url)
    state = StackState(
        data_dir=Path(), supervisor_pid=1, supervisor_created=0, endpoints=Endpoints(), processes=(process,)
    )
    return Counters(lambda: state)


def _text(**values: int) -> str:
    lines = ["# TYPE gauge gauge", "gauge 5", "# TYPE resent_total counter"]
    return "\n".join([*lines, *(f'resent_total{{cause="{cause}"}} {value}' for cause, value in values.items())]) + "\n"


def test_a_counter_that_fell_began_again_at_zero(metrics: _Metrics) -> None:
    counters = _counters(metrics.url)
    for value in (3, 5, 2, 4):
        metrics.text = _text(lost=value)
        counters.look()
    assert counters.sum("resent_total") == 9


def test_a_process_that_does_not_answer_changes_nothing(metrics: _Metrics) -> None:
    counters = _counters(metrics.url)
    metrics.text = _text(lost=3)
    counters.look()
    metrics.text = ""
    counters.look()
    assert counters.sum("resent_total") == 3
    assert not scrape("http://127.0.0.1:9/metrics")


def test_the_series_of_a_counter_are_told_apart_by_their_labels(metrics: _Metrics) -> None:
    counters = _counters(metrics.url)
    metrics.text = _text(lost=3, suspect=4, retry=0)
    counters.look()
    assert counters.by_label("resent_total") == {"cause=lost": 3, "cause=suspect": 4}
    assert counters.sum("resent_total") == 7
