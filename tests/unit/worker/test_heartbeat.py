"""The worker's sign of life: what it tells the dispatcher, and what it tells its own health."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from consumers.worker import heartbeat
from consumers.worker.batch_run import BatchRunner
from consumers.worker.heartbeat import Heartbeat
from services.errors import TransientError
from services.storage import BatchBoard
from services.telemetry import Health


class Board:
    """Keeps the signs; `each` is called with every one."""

    def __init__(self) -> None:
        self.signs: list[tuple[list[str], str | None]] = []
        self.left: list[str] = []
        self.away = False
        self.changed = threading.Condition()

    def beat(self, worker: str, running: Any, problem: str | None) -> None:
        with self.changed:
            self.signs.append((list(running), problem))
            self.changed.notify_all()
        if self.away:
            raise TransientError("Postgres: it is away")

    def leave(self, worker: str) -> None:
        if self.away:
            raise TransientError("Postgres: it is away")
        self.left.append(worker)


class Runner:
    """What runs."""

    def __init__(self) -> None:
        self.batches: dict[str, str | None] = {}
        self.age_s = 0.0
        self.inference_age_s = 0.0

    def running(self) -> dict[str, str | None]:
        return dict(self.batches)

    def longest_run_s(self) -> float:
        return self.age_s

    def longest_inference_s(self) -> float:
        return self.inference_age_s


class Made:
    """A heartbeat with its surroundings."""

    def __init__(self) -> None:
        self.board, self.runner, self.health = Board(), Runner(), Health()
        self.models: str | None = None
        self.broker_problem = ""
        self.heartbeat = Heartbeat(
            cast("BatchBoard", self.board),
            cast("BatchRunner", self.runner),
            "worker-1",
            self.health,
            lambda: self.models,
            self._broker,
            longest_run_s=100,
        )

    def _broker(self) -> None:
        if self.broker_problem:
            raise TransientError(self.broker_problem)

    def after_beats(self, change: Callable[[], object] = lambda: None, count: int = 5) -> tuple[list[str], str | None]:
        """The sign some beats after `change`."""
        with self.board.changed:
            change()
            seen = len(self.board.signs)
            assert self.board.changed.wait_for(lambda: len(self.board.signs) >= seen + count, timeout=60)
            return self.board.signs[-1]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    monkeypatch.setattr(heartbeat, "_PERIOD_S", 0.005)
    place = Made()
    place.heartbeat.start()
    yield place
    place.heartbeat.stop()


def test_it_says_what_runs_and_what_that_waits_for(made: Made) -> None:
    assert made.after_beats() == ([], None)
    made.runner.batches = {"b-1": None, "b-2": "Triton"}
    assert made.after_beats() == (["b-1", "b-2"], "Triton")


def test_a_server_that_answers_neither_the_batch_nor_us_is_waited_for(made: Made) -> None:
    made.runner.batches = {"b-1": None}
    made.models = "Triton cannot be reached"
    assert made.after_beats() == (["b-1"], None)  # the batch has only just begun
    made.runner.inference_age_s = 60
    assert made.after_beats() == (["b-1"], "Triton cannot be reached")
    made.models = None
    assert made.after_beats(count=10) == (["b-1"], None)


def test_a_broker_that_is_away_makes_it_unready_and_nothing_else(made: Made) -> None:
    made.broker_problem = "the Celery broker does not answer"
    assert made.after_beats() == ([], None)
    assert made.health.problems()["valkey"] == "the Celery broker does not answer"
    made.broker_problem = ""
    made.after_beats()
    assert "valkey" not in made.health.problems()


def test_an_idle_worker_waits_for_nothing(made: Made) -> None:
    made.models = "Triton cannot be reached"
    assert made.after_beats() == ([], None)
    assert made.health.problems() == {"models": "Triton cannot be reached"}


def test_without_postgres_it_goes_on_and_is_not_ready(made: Made) -> None:
    made.board.away = True
    made.after_beats()
    assert made.health.problems() == {"postgres": "Postgres: it is away"}
    made.board.away = False
    made.after_beats()
    assert made.health.problems() == {}


def test_a_batch_that_runs_far_too_long_stops_the_pulse(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[int] = []
    monkeypatch.setattr(made.health, "beat", lambda: beats.append(1))
    made.after_beats()
    assert beats
    made.runner.age_s = 101
    made.after_beats()
    beats.clear()
    made.after_beats()
    assert beats == []


def test_it_says_goodbye() -> None:
    place = Made()
    place.heartbeat.start()
    place.heartbeat.stop()
    assert place.board.left == ["worker-1"]


def test_it_leaves_without_a_word_when_nobody_listens() -> None:
    place = Made()
    place.board.away = True
    place.heartbeat.start()
    place.heartbeat.stop()
    assert place.board.left == []
