"""`tidegate chaos`: publish under random kills of every component, wait until all is decided, and count what was lost.

Exit code 0: nothing was lost, doubled or changed. Exit code 1: something was; the data folder is kept for the search.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from deploy.embedded import Stack, StackState
from services.capabilities import load_capabilities
from tests.chaos.counters import Counters
from tests.chaos.events import review_events
from tests.chaos.evidence import Target
from tests.chaos.journal import Planned
from tests.chaos.kinds import Act, How, Kind
from tests.chaos.monkey import Monkey
from tests.chaos.progress import ChaosProgress
from tests.chaos.report import Report
from tests.chaos.trial import Trial
from tests.load.machine import describe_machine
from tests.load.own_stack import NULL_MODELS, environment_of, new_folder, settings_of

__all__ = ["Chaos", "command", "conclude", "wait_until_healthy"]

#: Without any progress for so long, the kills come too fast for this machine and stop; and then again, the run ends.
_PATIENCE_WITH_KILLS_S = 60.0
_PATIENCE_S = 180.0


def command(
    events: Annotated[int, typer.Option(min=1, help="Good events to publish.")] = 20_000,
    seed: Annotated[
        int | None, typer.Option(help="Of events and kills. Default: a new one.", show_default=False)
    ] = None,
    seconds_between_kills: Annotated[float, typer.Option(min=0.5, help="On average.")] = 5.0,
    rate: Annotated[float, typer.Option(min=1, help="Events published per second.")] = 300.0,
    null_model: Annotated[
        bool, typer.Option("--null-model", help="A model that computes nothing, in place of the shipped one.")
    ] = False,
    dispatchers: Annotated[int, typer.Option(min=1, help="Dispatcher processes.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file.", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data folder, with its logs.")] = False,
) -> None:
    """Kill every component at random under load, and count what was lost.

    Starts an embedded stack of its own in a new folder; one that runs already
    is not touched. All seven kinds of processes are killed in turn: dispatcher,
    worker, Triton, its Python stubs, Valkey, Postgres and Kafka.
    """
    console = Console()
    seed = random.randrange(1_000_000) if seed is None else seed
    run = f"chaos{seed}-"
    planned = list(review_events(run, events, seed, null_model=null_model))
    folder = new_folder("chaos")
    console.print(f"Seed {seed}. Data and logs: {folder}", soft_wrap=True)
    models = (NULL_MODELS,) if null_model else None
    stack = Stack(folder, dispatchers=dispatchers, workers=workers, model_repositories=models)
    with environment_of({}):
        try:
            with console.status("Starting the stack"):
                state = stack.up()
            chaos = Chaos(stack, state, seed, seconds_between_kills, console)
            report = chaos.run(folder, run, planned, rate, "null model" if null_model else "review model")
        finally:
            with console.status("Stopping the stack"):
                stack.down()
    conclude(report, console, json_file)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


def conclude(report: Report, console: Console, json_file: Path | None) -> None:
    """Show the report and write it down.

    Raises:
        typer.Exit: with code 1, when something was lost, doubled or changed.
    """
    console.print(report.table())
    console.print(report.machine.sentence(), soft_wrap=True)
    console.print(report.conclusion(), style="green" if report.passed else "bold red", soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps(report.json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if not report.passed:
        raise typer.Exit(1)


class Chaos:
    """One run on a stack that is up."""

    def __init__(
        self, stack: Stack, state: StackState, seed: int, seconds_between_kills: float, console: Console
    ) -> None:
        settings = settings_of(state)
        self._stack = stack
        self._seed = seed
        self._console = console
        self._target = Target.of(settings, load_capabilities(settings)["review"])
        self._counters = Counters(stack.status)
        self._monkey = Monkey(stack, seed, seconds_between_kills, before=lambda _: self._counters.look())

    def run(self, folder: Path, run: str, planned: list[Planned], rate: float, model: str) -> Report:
        """Publish, kill, wait, judge."""
        machine = describe_machine()
        started = time.monotonic()
        records, settled = sum(event.copies for event in planned), len(planned)
        with (
            ChaosProgress(self._console, records, settled) as progress,
            Trial(self._target, folder, run, planned, rate) as trial,
        ):

            def meanwhile() -> None:
                self._counters.look()
                progress.show(trial.feed.acknowledged, trial.settled, _sentence(self._monkey.acts))

            self._monkey.start()
            self._wait(trial, meanwhile, _PATIENCE_WITH_KILLS_S)
            self._monkey.stop()
            wait_until_healthy(self._stack, _PATIENCE_S)
            problem = self._wait(trial, meanwhile, _PATIENCE_S)
            wall_s = time.monotonic() - started
            verdict = trial.verdict()
        acts = self._monkey.acts
        state = self._stack.status()
        return Report(
            seed=self._seed,
            model=model,
            records=trial.feed.acknowledged,
            verdict=verdict,
            kills=_by_kind(acts, "kill"),
            freezes=_by_kind(acts, "freeze"),
            flushes=sum(count for act, count in acts.items() if act.how == "flush"),
            restarts={one.name: one.restarts for one in state.processes} if state else {},
            redeliveries=self._redeliveries(trial),
            wall_s=round(wall_s, 1),
            machine=machine,
            problem=problem,
        )

    def _wait(self, trial: Trial, meanwhile: Callable[[], None], patience_s: float) -> str:
        try:
            trial.wait_until_settled(patience_s, meanwhile)
        except TimeoutError as error:
            return f"{error}."
        return ""

    def _redeliveries(self, trial: Trial) -> dict[str, int]:
        counters = self._counters
        consumed = counters.sum("tidegate_consumed_total")
        found = {
            "records delivered again (at least)": max(0, consumed - trial.feed.acknowledged),
            "results found published, not published again (at least)": counters.sum(
                "tidegate_republish_suppressed_total"
            ),
            "duplicates without a second effect (at least)": counters.sum("tidegate_duplicates_total"),
            "records that the publisher had to send again": trial.feed.sent_again,
        }
        causes = counters.by_label("tidegate_batches_resent_total")
        return found | {f"batches sent again: {labels}": count for labels, count in causes.items()}


def wait_until_healthy(stack: Stack, patience_s: float) -> None:
    """Until the whole stack is healthy, or `patience_s` is over: what is not healthy then shows in the verdict."""
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        state = stack.status()
        if state is not None and state.healthy:
            return
        time.sleep(0.2)


def _by_kind(acts: Counter[Act], how: How) -> dict[str, int]:
    return {kind: count for kind in get_args(Kind) if (count := acts[Act(kind, how)])}


def _sentence(acts: Counter[Act]) -> str:
    return ", ".join(f"{act.kind}{'' if act.how == 'kill' else ' ' + act.how} {count}" for act, count in acts.items())


if __name__ == "__main__":
    typer.run(command)
