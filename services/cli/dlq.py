"""`tidegate dlq`: look at dead letters, and send them again.

Promises: `show --raw` gives the original bytes and nothing else; everywhere else what a sender wrote is shown escaped and cannot
steer the terminal. `replay` is in `dlq_replay`.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from services.cli.connection import DataOption, settings_for
from services.cli.dlq_replay import Replay, replay_letters
from services.cli.results import open_database
from services.cli.screen import clock, notes, output, printable
from services.cli.since import since as moment
from services.errors import ConfigurationError, DeadLetterReason
from services.storage import DeadLetter, DeadLetterStore

__all__ = ["app"]

app = typer.Typer(help="Dead letters: messages that could not be processed.", no_args_is_help=True)

ReasonOption = Annotated[
    DeadLetterReason | None, typer.Option("--reason", help="Only those with this reason.", show_default=False)
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Only those since: 15m, 1h, 2d, or a time.", show_default=False)
]

_PREVIEW_CHARACTERS = 2_000
_ID = re.compile(r"[0-9a-fA-F][0-9a-fA-F-]{0,35}")


@app.command("list")
def list_letters(
    reason: ReasonOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show so many of the newest.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="Also those that were replayed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, without the content.")] = False,
    data: DataOption = None,
) -> None:
    """List dead letters, newest first."""
    after = moment(since)
    settings = settings_for(data, "postgres")
    with open_database(settings) as database:
        store = DeadLetterStore(database)
        letters = store.find(reason=reason.value if reason else None, since=after, pending_only=not every, limit=limit)
        counts = store.count_by_reason()
    if as_json:
        sys.stdout.writelines(json.dumps(_facts(letter)) + "\n" for letter in letters)
        return
    if letters:
        output().print(_table(letters, replayed=every))
    notes().print(_sum(counts), style="dim")


@app.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.")],
    raw: Annotated[bool, typer.Option("--raw", help="The original bytes of the value, and nothing else.")] = False,
    data: DataOption = None,
) -> None:
    """Show one dead letter: why, from where, and what it holds."""
    settings = settings_for(data, "postgres")
    with open_database(settings) as database:
        letter = one_letter(DeadLetterStore(database), identifier)
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        sys.stdout.buffer.flush()
        return
    _describe(letter)


@app.command()
def replay(
    identifiers: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids, or the beginnings of ids.", show_default=False)
    ] = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    mended: Annotated[
        Path | None,
        typer.Option(
            "--with", exists=True, dir_okay=False, help="Send this file's bytes in place of the one letter's value."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    data: DataOption = None,
) -> None:
    """Send dead letters to their topic again: those named, or all that wait.

    Key, value and headers are the original ones, and a header
    `replayed-from` names the letter. A letter that was replayed is not sent
    again unless it is named. What is decided already is not decided twice.
    """
    after = moment(since)
    settings = settings_for(data, "kafka", "postgres")
    if mended is not None and len(identifiers or []) != 1:
        raise typer.BadParameter("a mended copy is for exactly one ID", param_hint="'--with'")
    with open_database(settings) as database:
        store = DeadLetterStore(database)
        if identifiers:
            ids = [one_letter(store, identifier).id for identifier in dict.fromkeys(identifiers)]
        else:
            ids = store.find_ids(reason=reason.value if reason else None, since=after, pending_only=True)
        replay_letters(
            Replay(
                settings=settings,
                store=store,
                ids=ids,
                mended=None if mended is None else mended.read_bytes(),
                ask=not yes and not identifiers,
                dry_run=dry_run,
            )
        )


def one_letter(store: DeadLetterStore, identifier: str) -> DeadLetter:
    """The letter whose id begins with `identifier`.

    Raises:
        ConfigurationError: there is none, or more than one.
    """
    found = store.find(ids=[identifier], limit=6) if _ID.fullmatch(identifier) else []
    if not found:
        raise ConfigurationError(f"there is no dead letter {identifier!r}: `tidegate dlq list --all` shows their ids")
    if len(found) > 1:
        some = ", ".join(letter.id[: len(identifier) + 4] for letter in found[:5])
        raise ConfigurationError(f"{identifier!r} is the beginning of several ids ({some}, ...): give more of it")
    return found[0]


def _facts(letter: DeadLetter) -> dict[str, object]:
    """What `list --json` says: everything but the content, which `show --raw` gives."""
    return {
        "id": letter.id,
        "reason": letter.reason,
        "detail": letter.detail,
        "capability": letter.capability,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "event_id": letter.event_id,
        "size_bytes": _size(letter),
        "failed_at": letter.failed_at.isoformat(),
        "replayed_at": letter.replayed_at.isoformat() if letter.replayed_at else None,
        "replay_count": letter.replay_count,
    }


def _table(letters: list[DeadLetter], *, replayed: bool) -> Table:
    """One line a letter; what does not fit is cut, and `show` has it."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    now = datetime.now(UTC)
    table.add_column("id", style="bold", no_wrap=True)
    table.add_column("failed", style="dim", no_wrap=True)
    if replayed:
        table.add_column("replayed", style="green", no_wrap=True)
    table.add_column("topic", no_wrap=True)
    table.add_column("reason", style="red", no_wrap=True)
    table.add_column("detail", no_wrap=True, overflow="ellipsis", ratio=1)
    for letter in letters:
        cells = [letter.id[:8], clock(letter.failed_at, now)]
        if replayed:
            cells.append(clock(letter.replayed_at, now) if letter.replayed_at else "")
        cells += [printable(letter.topic), letter.reason, printable(letter.detail)]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _describe(letter: DeadLetter) -> None:
    console = output()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    replayed = "no"
    if letter.replayed_at is not None:
        replayed = f"{letter.replay_count} times, last {letter.replayed_at.astimezone():%Y-%m-%d %H:%M:%S}"
    facts = [
        ("id", letter.id),
        ("reason", letter.reason),
        ("detail", printable(letter.detail)),
        ("record", f"{letter.topic}[{letter.partition}] at offset {letter.offset}"),
        ("published", f"{letter.record_timestamp.astimezone():%Y-%m-%d %H:%M:%S}"),
        ("failed", f"{letter.failed_at.astimezone():%Y-%m-%d %H:%M:%S} in {letter.component} {letter.version}"),
        ("replayed", replayed),
        ("event id", "unknown" if letter.event_id is None else printable(letter.event_id)),
        ("key", "none" if letter.key is None else _preview(letter.key)),
        *((f"header {printable(name)}", _preview(value)) for name, value in letter.headers),
        ("size", "no value" if letter.value is None else f"{_size(letter):,} bytes"),
    ]
    for name, fact in facts:
        grid.add_row(name, Text(fact))
    console.print(grid)
    if letter.value:
        console.print()
        console.print(Text(_preview(letter.value)))
        notes().print(f"Its bytes: tidegate dlq show {letter.id[:8]} --raw", style="dim")


def _preview(value: bytes) -> str:
    """Bytes as text that is safe to show: what is no UTF-8 and what is not seen as escapes, cut at a length."""
    # A character has at most four bytes; one that is cut in two at the end is not shown.
    text = value[: 4 * _PREVIEW_CHARACTERS].decode("utf-8", "backslashreplace")
    shown = "\n".join(printable(line) for line in text[:_PREVIEW_CHARACTERS].split("\n"))
    more = len(text) > _PREVIEW_CHARACTERS or len(value) > 4 * _PREVIEW_CHARACTERS
    return f"{shown}… (cut)" if more else shown


def _size(letter: DeadLetter) -> int:
    return len(letter.value or b"")


def _sum(counts: list[tuple[str, int, int]]) -> str:
    waiting = [(reason, pending) for reason, _, pending in counts if pending]
    replayed = sum(total - pending for _, total, pending in counts)
    if not waiting:
        return f"No dead letters wait; {replayed:,} were replayed." if replayed else "No dead letters."
    reasons = ", ".join(f"{reason} {pending:,}" for reason, pending in waiting)
    total = sum(pending for _, pending in waiting)
    return f"{total:,} wait ({reasons}); {replayed:,} were replayed."
