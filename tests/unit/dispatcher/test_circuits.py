"""Circuits: which dependencies are away, and how that shows."""

from __future__ import annotations

import time

import pytest

from consumers.dispatcher.circuits import WORKERS, Circuits
from services.errors import ConfigurationError, PermanentError, TransientError
from services.errors import DeadLetterReason as Reason
from services.telemetry import Health, metrics


def shown(dependency: str) -> float:
    return metrics.CIRCUIT_OPEN.labels(dependency)._value.get()  # type: ignore[no-any-return]


def failing() -> bool:
    raise TransientError("Postgres: it is away")


def test_a_failed_step_opens_its_circuit_and_shows_it() -> None:
    health = Health()
    circuits = Circuits(health)
    circuits.guarded("postgres", failing)
    assert "postgres" in circuits
    assert circuits
    assert circuits.outage
    assert shown("postgres") == 1
    assert health.problems() == {"postgres": "Postgres: it is away"}


def test_a_wrong_deployment_opens_it_too() -> None:
    circuits = Circuits(Health())

    def step() -> bool:
        raise ConfigurationError("run the migrations")

    circuits.guarded("postgres", step)
    assert "postgres" in circuits


def test_a_bug_is_not_an_outage() -> None:
    circuits = Circuits(Health())

    def step() -> bool:
        raise PermanentError(Reason.INTERNAL, "")

    with pytest.raises(PermanentError):
        circuits.guarded("postgres", step)


def test_a_dependency_is_left_alone_for_a_moment_after_a_failure() -> None:
    circuits = Circuits(Health())
    circuits.open("broker", "it is away")

    def too_early() -> bool:
        raise AssertionError("it was asked")

    circuits.guarded("broker", too_early)
    assert not circuits.may_try("broker", time.monotonic())
    assert circuits.may_try("broker", time.monotonic() + 10)
    assert circuits.may_try("postgres", time.monotonic())


def test_a_step_that_asked_nothing_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.dispatcher.circuits._PAUSE_S", 0.0)
    circuits = Circuits(Health())
    circuits.guarded("postgres", failing)
    circuits.guarded("postgres", lambda: False)
    assert "postgres" in circuits


def test_a_step_that_succeeds_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.dispatcher.circuits._PAUSE_S", 0.0)
    health = Health()
    circuits = Circuits(health)
    circuits.guarded("postgres", failing)
    circuits.guarded("postgres", lambda: True)
    assert not circuits
    assert shown("postgres") == 0
    assert health.problems() == {}


def test_readiness_shows_the_latest_problem() -> None:
    health = Health()
    circuits = Circuits(health)
    circuits.open("broker", "first")
    circuits.open("broker", "second")
    assert health.problems() == {"broker": "second"}


def test_the_absence_of_workers_is_no_outage() -> None:
    circuits = Circuits(Health())
    circuits.open(WORKERS, "nobody there")
    assert circuits
    assert not circuits.outage


def test_closing_what_is_closed_does_nothing() -> None:
    circuits = Circuits(Health())
    circuits.close("postgres")
    assert not circuits
