"""`tidegate chaos` itself, in small: a real stack, real kills, and the checker's word at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.chaos.run import command

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_short_run_kills_and_loses_nothing(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    file = tmp_path / "chaos.json"
    options = ["--events", "900", "--rate", "60", "--seconds-between-kills", "1.5", "--seed", "5", "--null-model"]
    result = CliRunner().invoke(app, [*options, "--json", str(file)])
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["passed"] is True
    assert (report["lost"], report["doubled"]) == (0, 0)
    assert report["verdict"]["published"] == report["verdict"]["decided"] == 900
    assert sum(report["kills"].values()) >= 3
    assert sum(report["restarts"].values()) >= 3
