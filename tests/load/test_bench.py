"""`tidegate bench --quick`: every row is there, and a part that is missing here is said to be missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.load.bench import command

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_quick_run_measures_every_row_or_says_why_not(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    file = tmp_path / "bench.json"
    options = ["--quick", "--json", str(file), "--transformers-python", str(tmp_path / "no-python")]
    result = CliRunner().invoke(app, options, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in report["rows"]}
    targets = {name: row["target"] for name, row in rows.items() if row["target"] is not None}
    assert targets == {
        "CPU per message without a model, dispatcher and worker": 100.0,
        "throughput of the stack ÷ the same engine in process": 0.85,
        "throughput of the stack ÷ the transformers pipeline": 8.0,
        "latency at low load, p50": 60.0,
        "latency at low load, p99": 250.0,
        "`tidegate up` until healthy, second start": 30.0,
        "memory of the whole stack at rest": 4.0,
    }
    unmeasured = rows.pop("throughput of the stack ÷ the transformers pipeline")
    assert unmeasured["verdict"] == "not measured"
    assert "no-python" in unmeasured["note"]
    assert all(row["measured"] is not None and row["measured"] >= 0 for row in rows.values())
    assert {row["verdict"] for row in rows.values()} <= {"pass", "fail", ""}
    assert report["machine"]["cores"] >= 1
