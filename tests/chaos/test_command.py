"""`tidegate chaos` itself, in small: a real stack, real kills, and the checker's word at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_short_run_kills_and_loses_nothing(tmp_path: Path) -> None:
    # In a process of its own: kafka-python forgets sockets of brokers that are killed, which pytest takes for our fault.
    file = tmp_path / "chaos.json"
    options = ["--events", "900", "--rate", "60", "--seconds-between-kills", "2", "--seed", "5", "--null-model"]
    command = [sys.executable, "-m", "tests.chaos.run", *options, "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["passed"] is True
    assert (report["lost"], report["doubled"]) == (0, 0)
    assert report["verdict"]["published"] == report["verdict"]["decided"] == 900
    assert sum(report["kills"].values()) >= 3
    assert sum(report["restarts"].values()) >= 3
