"""What `tidegate chaos` says at its end, and with which exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import typer
from rich.console import Console

from tests.chaos.checker import Verdict
from tests.chaos.report import Report
from tests.chaos.run import conclude
from tests.load.machine import describe_machine


def _report(verdict: Verdict, problem: str = "") -> Report:
    return Report(
        seed=1,
        model="null model",
        records=3,
        verdict=verdict,
        kills={"kafka": 2},
        freezes={},
        flushes=1,
        restarts={"kafka": 2},
        redeliveries={},
        wall_s=1.5,
        machine=describe_machine(),
        problem=problem,
    )


def _said(report: Report, file: Path | None = None) -> tuple[str, int]:
    """What was printed, and the exit code."""
    console = Console(file=io.StringIO(), width=160)
    code = 0
    try:
        conclude(report, console, file)
    except typer.Exit as ended:
        code = ended.exit_code
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), code


def test_a_flawless_run_ends_with_exit_code_0() -> None:
    text, code = _said(_report(Verdict(published=3, decided=3)))
    assert code == 0
    assert "Nothing lost, no effect twice: 3 records, 2 kills." in text


@pytest.mark.parametrize(
    "fault", ["lost_rows", "lost_events", "double_rows", "double_events", "differing", "dead_lettered", "strangers"]
)
def test_any_fault_ends_with_exit_code_1_and_names_an_event(fault: str) -> None:
    verdict = Verdict(published=3, decided=3)
    setattr(verdict, fault, ["run-7"])
    text, code = _said(_report(verdict))
    assert code == 1
    assert "run-7" in text


def test_a_run_that_was_not_settled_in_time_ends_with_exit_code_1() -> None:
    text, code = _said(_report(Verdict(published=3, decided=3), problem="no progress for 180 s."))
    assert code == 1
    assert "no progress for 180 s." in text


def test_the_file_holds_the_counts_and_the_first_ids_of_each_fault(tmp_path: Path) -> None:
    file = tmp_path / "chaos.json"
    _said(_report(Verdict(published=90, lost_rows=[f"run-{number}" for number in range(90)])), file)
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["passed"] is False
    assert written["lost"] == 90
    assert written["verdict"]["lost_rows"]["count"] == 90
    assert written["verdict"]["lost_rows"]["first"][:2] == ["run-0", "run-1"]
    assert written["kills"] == {"kafka": 2}
    assert written["machine"]["cores"] >= 1
