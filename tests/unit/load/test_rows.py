"""A row of the benchmark says in words whether its target holds."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.load.rows import Better, Row, fact, missing, table_of, target_row


@pytest.mark.parametrize(
    ("measured", "target", "better", "verdict"),
    [
        (0.9, 0.85, "higher", "pass"),
        (0.85, 0.85, "higher", "pass"),
        (0.8, 0.85, "higher", "fail"),
        (60.0, 60.0, "lower", "pass"),
        (60.1, 60.0, "lower", "fail"),
    ],
)
def test_a_target_is_passed_or_failed(measured: float, target: float, better: Better, verdict: str) -> None:
    assert Row("x", "", measured, target, better).verdict == verdict


def test_the_measured_value_is_the_median_of_the_repeats() -> None:
    row = target_row("x", "ms", [100.0, 10.0, 12.0], target=20)
    assert (row.measured, row.verdict) == (12.0, "pass")
    assert row.json()["samples"] == (100.0, 10.0, 12.0)


def test_a_row_that_was_not_measured_says_why_and_neither_passes_nor_fails() -> None:
    row = missing("x", "x", "there is no torch", target=8, better="higher")
    assert row.verdict == "not measured"
    assert row.note == "not measured: there is no torch"


def test_a_fact_has_no_verdict() -> None:
    assert not fact("x", "µs", [1.0]).verdict


def test_the_table_shows_value_target_and_verdict() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(table_of([target_row("latency", "ms", [40.25], target=60)], "numbers"))
    assert isinstance(console.file, io.StringIO)
    line = next(line for line in console.file.getvalue().splitlines() if "latency" in line)
    assert "40.2 ms" in line
    assert "≤ 60 ms" in line
    assert "pass" in line
