"""The command itself: which sub-commands there are, and how it ends.

Promises: naming the sub-commands imports none of them, so `tidegate --help` is quick and works where an optional part is not
installed. An error that a person can mend is one red sentence on standard error and exit code 1; a wrong command line is exit
code 2; Ctrl-C and SIGTERM are 130, after what the command started is stopped. A traceback is a bug of ours.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from services.errors import ConfigurationError, TidegateError, TransientError

__all__ = ["COMMANDS", "Entry", "main"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One sub-command: what the help says about it, and where it lives.

    `reference` is `module:attribute` of a typer application or of one command function. `part` takes the command of this name
    out of an application with several.
    """

    name: str
    help: str
    panel: str
    reference: str
    part: bool = False
    #: It lives beside the tests, which are not installed.
    in_checkout: bool = False


_STACK, _MESSAGES, _MODELS, _NUMBERS = "The stack", "Messages", "Models", "Measuring"

COMMANDS: tuple[Entry, ...] = (
    Entry(
        "up",
        "Start Kafka, Postgres, Valkey, Triton, a dispatcher and workers, and wait until they are healthy.",
        _STACK,
        "services.cli.stack:app",
        part=True,
    ),
    Entry(
        "down",
        "Stop everything: the app first, with patience, then the servers. Data stays.",
        _STACK,
        "services.cli.stack:app",
        part=True,
    ),
    Entry(
        "status",
        "Show what runs and how it is. Exit code 0 only when everything is healthy.",
        _STACK,
        "services.cli.stack:app",
        part=True,
    ),
    Entry("demo", "Start the stack, publish samples and show what came back.", _STACK, "services.cli.demo:demo"),
    Entry("publish", "Publish events from a file of JSON lines.", _MESSAGES, "services.cli.publish:publish"),
    Entry("results", "Show the latest results of a capability.", _MESSAGES, "services.cli.results:results"),
    Entry("dlq", "Dead letters: messages that could not be processed.", _MESSAGES, "services.cli.dlq:app"),
    Entry("train", "Fine-tune a model.", _MODELS, "services.training.commands:app", part=True),
    Entry(
        "evaluate",
        "Measure a model against data it has not seen.",
        _MODELS,
        "services.training.commands:app",
        part=True,
    ),
    Entry(
        "export",
        "Turn a trained model into a version that Triton serves.",
        _MODELS,
        "services.training.commands:app",
        part=True,
    ),
    Entry("promote", "Put an exported version into service.", _MODELS, "services.training.commands:app", part=True),
    Entry(
        "explain", "Show what a model makes of a text, and why.", _MODELS, "services.training.commands:app", part=True
    ),
    Entry(
        "bench",
        "Measure throughput and latency on this machine.",
        _NUMBERS,
        "tests.load.bench:command",
        in_checkout=True,
    ),
    Entry(
        "chaos",
        "Kill every component at random under load, and count what was lost.",
        _NUMBERS,
        "tests.chaos.run:command",
        in_checkout=True,
    ),
)


class _Later(TyperCommand):
    """Stands for a command in the help; imported when it is used."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(name=entry.name, help=entry.help, rich_help_panel=entry.panel)
        self.entry = entry


class _CommandTable(TyperGroup):
    """The root: holds stand-ins, and swaps one for the real command when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for entry in COMMANDS:
            self.add_command(_Later(entry))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(command.entry) if isinstance(command, _Later) else command, rest


def load(entry: Entry) -> Any:
    """The click command of `entry`.

    Raises:
        ConfigurationError: what it needs is not installed here.
    """
    module_name, _, attribute = entry.reference.partition(":")
    if entry.in_checkout:
        _make_importable(entry, module_name)
    try:
        target = getattr(import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`tidegate {entry.name}` needs the package {error.name}, which is not installed here. "
            "What runs the stack is installed with `make install`; training has an environment of its own: `make train-env`"
        ) from error
    if not isinstance(target, typer.Typer):
        return _command_of(target)
    if not entry.part:
        return typer.main.get_command(target)
    found = typer.main.get_group(target).commands.get(entry.name)
    if found is None:
        raise ConfigurationError(f"this version of Tidegate has no `tidegate {entry.name}`")
    return found


def _command_of(function: Any) -> Any:
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return typer.main.get_command(app)


def _make_importable(entry: Entry, module_name: str) -> None:
    """Find the checkout whose `tests` folder holds the module: this code's own, else the one we stand in."""
    file = Path(*module_name.split(".")).with_suffix(".py")
    for root in (Path(__file__).resolve().parents[2], Path.cwd()):
        if (root / file).is_file():
            sys.path.insert(0, str(root))
            return
    raise ConfigurationError(
        f"`tidegate {entry.name}` is part of the source tree and not of the installed package: run it in a checkout of Tidegate"
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tidegate {version('tidegate')}")
        raise typer.Exit


_app = typer.Typer(
    cls=_CommandTable,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]tidegate demo[/].",
    rich_markup_mode="rich",
)


@_app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tidegate reviews, writes and recommends content: events in on Kafka, decisions out, each one durable and explained."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line (`sys.argv` by default) and exit.

    Raises:
        SystemExit: always, with the exit code that the module's docstring promises.
    """
    # A `kill` must leave no stack of ours running, nor half a file: it unwinds as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        typer.main.get_command(_app).main(
            args=None if arguments is None else list(arguments), prog_name="tidegate", windows_expand_args=False
        )
    except TransientError as error:
        _complain(f"{error}. Does everything run? `tidegate status` shows it")
    except TidegateError as error:
        _complain(str(error))
    raise SystemExit(1)


def _complain(sentence: str) -> None:
    from services.cli.screen import notes

    notes().print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
