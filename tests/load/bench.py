"""`tidegate bench`: the project's own numbers beside its targets, measured side by side in one run on this machine.

It starts stacks of its own in a new folder and touches none that runs already. Comparisons are interleaved: each repeat measures
the bare engine with the stack down, then the stack, so that a machine that gets slower slows both. A row whose part is not
installed says so and does not fail. The exit code is 0 whatever the numbers are: a benchmark reports, it does not judge.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.load.full_stack import measure_full_stack
from tests.load.machine import describe_machine
from tests.load.null_model import measure_overhead
from tests.load.own_stack import environment_of, scratch_folder
from tests.load.plan import FULL, QUICK
from tests.load.rows import table_of

__all__ = ["command"]

_WIDTH_OF_A_FILE = 160


def command(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write machine and rows to this file.", show_default=False)
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke run: small counts, numbers that mean little.")
    ] = False,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Of each measurement; medians are shown. Default: 3.", show_default=False)
    ] = None,
    transformers_python: Annotated[
        Path, typer.Option(help="Python of the training environment, which has torch and transformers.")
    ] = Path(".venv-train/bin/python"),
) -> None:
    """Measure throughput, latency, CPU, start and memory, and compare them with the targets.

    Let nothing else run meanwhile. A full run takes about a quarter of an hour.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_FILE)
    plan = (QUICK if quick else FULL).with_repeats(repeats)
    machine = describe_machine()
    console.print(machine.sentence(), soft_wrap=True)
    if machine.load_average[0] > machine.cores / 2:
        console.print(
            "Something else keeps this machine busy: the numbers will be too bad.", style="yellow", soft_wrap=True
        )
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with scratch_folder("bench") as folder, environment_of({}):
        say = _teller(console)
        rows = measure_overhead(folder, plan, say)
        rows += measure_full_stack(folder, plan, say, transformers_python=transformers_python)
    rows.sort(key=lambda row: row.target is None)
    console.print(table_of(rows, "Tidegate's benchmark" + (" (quick: means little)" if quick else "")))
    if json_file is not None:
        report = {
            "started": started,
            "plan": asdict(plan),
            "machine": asdict(machine),
            "rows": [row.json() for row in rows],
        }
        json_file.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _teller(console: Console) -> Callable[[str], None]:
    began = time.monotonic()

    def say(sentence: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s[/]  {sentence}", soft_wrap=True, highlight=False)

    return say


if __name__ == "__main__":
    typer.run(command)
