"""`tidegate up`, `down` and `status`: the embedded stack in a terminal.

Exit code 0 means that everything is healthy (`up`, `status`) or that nothing runs any more (`down`). What goes wrong is one
sentence on standard error.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Annotated, NoReturn, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.embedded import Stack, StackState
from services.cli.connection import DataOption
from services.errors import ConfigurationError
from services.storage import masked

__all__ = ["StackProgress", "app", "state_table"]

app = typer.Typer(help="The embedded stack: real servers on this machine.", no_args_is_help=True)


@app.command()
def up(
    data: DataOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is healthy; the stack stays up.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes.")] = 1,
    dispatchers: Annotated[int, typer.Option(min=0, help="Dispatcher processes.")] = 1,
    model_repository: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of Triton models; may be given more than once.", show_default=False),
    ] = None,
    no_app: Annotated[bool, typer.Option("--no-app", help="Only the servers: no dispatcher, no workers.")] = False,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait until everything is healthy.")] = 240.0,
) -> None:
    """Start Kafka, Postgres, Valkey, Triton, a dispatcher and workers, and wait until they are healthy."""
    stack = Stack(
        data,
        workers=workers,
        dispatchers=dispatchers,
        app=not no_app,
        model_repositories=model_repository,
        patience_s=wait,
    )
    console = Console()
    try:
        _start(stack, console)
        if detach or stack.was_running:
            return
        console.print("Press Ctrl-C to stop it.")
        while stack.status() is not None:  # until somebody else's `tidegate down`
            time.sleep(1)
    except KeyboardInterrupt:
        if detach or stack.was_running:
            console.print(
                "It goes on in the background: see [bold]tidegate status[/], stop it with [bold]tidegate down[/]."
            )
            raise typer.Exit(130) from None
    _stop(stack, console)


@app.command()
def down(data: DataOption = None) -> None:
    """Stop everything: the app first, with patience, then the servers. Data stays."""
    _stop(Stack(data), Console())


@app.command()
def status(
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Show what runs and how it is. Exit code 0 only when everything is healthy."""
    with _sentences():
        state = Stack(data).status()
    if as_json:
        sys.stdout.write(json.dumps(_public(state)) + "\n")
    elif state is None:
        Console().print("Nothing runs here. Start it with [bold]tidegate up[/].")
    else:
        Console().print(state_table(state))
    raise typer.Exit(0 if state is not None and state.healthy else 1)


class StackProgress:
    """One line per part, redrawn in a terminal; elsewhere one line per change that matters. `tell` is the stack's `Tell`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: dict[str, str] = {}
        self._lock = threading.Lock()
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def tell(self, name: str, sentence: str) -> None:
        with self._lock:
            if self._lines.get(name) == sentence:
                return
            self._lines[name] = sentence
        if not self._console.is_terminal:
            self._console.print(f"{name}: {sentence}", markup=False, highlight=False, soft_wrap=True)

    def _draw(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        with self._lock:
            for name, sentence in self._lines.items():
                done = sentence == "healthy"
                grid.add_row(
                    "[green]✓[/]" if done else "[yellow]…[/]", name, Text(sentence, style="green" if done else "")
                )
        return grid


def state_table(state: StackState) -> Table:
    """What runs, how it is, and where."""
    table = Table(title="Tidegate is healthy" if state.healthy else "Tidegate is NOT healthy", title_justify="left")
    for heading, style in (("", None), ("state", None), ("pid", "dim"), ("restarts", "dim")):
        table.add_column(heading, style=style)
    table.add_column("where", overflow="fold")
    where = {
        "kafka": state.endpoints.kafka,
        "postgres": _masked(state.endpoints.postgres),
        "valkey": _masked(state.endpoints.valkey),
        "triton": f"grpc {state.endpoints.triton.grpc}, http {state.endpoints.triton.http}",
    }
    local = {process.name for process in state.processes}
    for process in state.processes:
        address = where.get(process.name) or process.metrics or ""
        table.add_row(
            process.name,
            _health(process.healthy, process.detail),
            str(process.pid or "-"),
            str(process.restarts),
            address,
        )
    for name in where.keys() - local:
        address = (state.endpoints.triton.grpc if name == "triton" else where[name]) or ""
        if address:
            table.add_row(name, "remote, not watched", "-", "-", address)
    for model in state.models:
        version = f"version {model.version}, sha256 {model.sha256[:12]}" if model.version else ""
        table.add_row(f"model {model.name}", _health(model.healthy, model.detail), "-", str(model.heals), version)
    if state.message:
        table.caption = state.message
    return table


def _health(healthy: bool, detail: str) -> Text:
    return Text("healthy", "green") if healthy else Text(f"not healthy: {detail}" if detail else "not healthy", "red")


def _public(state: StackState | None) -> dict[str, object]:
    """The JSON that other programs rely on: these keys and no others."""
    if state is None:
        triton = {"grpc": None, "http": None, "metrics": None}
        nothing: dict[str, object] = {
            "healthy": False,
            "kafka": None,
            "postgres": None,
            "valkey": None,
            "triton": triton,
        }
        return nothing | {"processes": [], "models": []}
    endpoints = state.endpoints
    return {
        "healthy": state.healthy,
        "kafka": endpoints.kafka,
        "postgres": _masked(endpoints.postgres),
        "valkey": _masked(endpoints.valkey),
        "triton": endpoints.triton.model_dump(),
        "processes": [
            one.model_dump(include={"name", "pid", "healthy", "restarts", "metrics"}) for one in state.processes
        ],
        "models": [one.model_dump(include={"name", "version", "sha256"}) for one in state.models],
    }


def _masked(address: str | None) -> str | None:
    """A remote server's address without its password. The embedded servers have none."""
    if address is None:
        return None
    scheme, mark, rest = address.partition("://")
    if not mark or scheme.startswith("postgres"):
        return masked(address)
    # Up to the last @, as clients read it: a password may hold one.
    secret, at, place = rest.rpartition("@")
    user, colon, _ = secret.partition(":")
    shown = re.sub(r"(password=)[^&]*", r"\1***", place)
    return f"{scheme}://{user}{':***' if colon else ''}{at}{shown}"


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn an error that a person can mend into one sentence and exit code 1."""
    try:
        yield
    except ConfigurationError as error:
        _fail(str(error))


def _fail(sentence: str) -> NoReturn:
    Console(stderr=True).print(Text(sentence, "red"), soft_wrap=True)
    raise typer.Exit(1)


def _start(stack: Stack, console: Console) -> None:
    started = time.monotonic()
    with _sentences(), StackProgress(console) as progress:
        state = stack.up(progress.tell)
    if stack.was_running:
        console.print(
            "The stack runs already. To change it: [bold]tidegate down[/], then [bold]up[/] with other options."
        )
    console.print(state_table(state))
    console.print(f"Healthy after {time.monotonic() - started:.1f} s. Data and logs: {stack.folder.root}")


def _stop(stack: Stack, console: Console) -> None:
    with _sentences(), StackProgress(console) as progress:
        ran = stack.down(progress.tell)
    console.print("Stopped." if ran else "Nothing runs here.", highlight=False)


if __name__ == "__main__":
    app()
