"""`tidegate demo` on a whole stack, with a model that computes nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from deploy.embedded import Stack
from tests.integration.cli.conftest import COMMAND, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture
def running(scratch: Path, _own_environment: None) -> Iterator[Path]:
    stack = Stack(scratch / "demo", model_repositories=[ROOT / "tests" / "load" / "model_repo"])
    try:
        stack.up()
        yield scratch / "demo"
    finally:
        stack.down()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )


def test_the_demo_shows_every_answer_in_80_columns_and_leaves_the_stack_running(running: Path) -> None:
    done = run("demo", "--data", str(running))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "24 decisions and 1 dead letter" in done.stdout
    assert "no answer yet" not in done.stdout
    assert "not_json" in done.stdout
    assert "\x1b" not in done.stdout
    table = done.stdout.split("It goes on running")[0]
    assert max(cell_len(line) for line in table.splitlines()) <= 80
    for command in ("publish content.submitted", "results review --follow", "dlq list"):
        assert f"{command} --data {running}" in done.stdout

    status = run("status", "--json", "--data", str(running))
    assert json.loads(status.stdout)["healthy"] is True
    letters = run("dlq", "list", "--json", "--data", str(running))
    assert [json.loads(line)["reason"] for line in letters.stdout.splitlines()] == ["not_json"]
