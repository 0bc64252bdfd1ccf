"""Sending dead letters to their topic again.

Promises: key, value and headers are the original ones byte for byte, but for one header `replayed-from` with the letter's id; a
mended copy that is a whole CloudEvent goes without the `ce_` headers that would contradict it. A letter is marked as replayed after the
broker acknowledged the record, never before. A crash between the two leaves a letter that will be sent once more, which decides nothing
twice: ids are the same. Letters go out oldest first, whole ones at a time, so memory holds the producer's window and no more.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from services.capabilities import load_capabilities
from services.cli.lines import check_record
from services.cli.screen import notes, output
from services.errors import ConfigurationError, PermanentError
from services.messaging import UNREADABLE_HEADER, Delivery, Publisher, require_topic
from services.settings import Settings
from services.storage import DeadLetter, DeadLetterStore

__all__ = ["REPLAYED_FROM", "Replay", "replay_letters"]

#: Names the dead letter that a record is a replay of.
REPLAYED_FROM = "replayed-from"


@dataclass(frozen=True, slots=True)
class Replay:
    """What to send again."""

    settings: Settings
    store: DeadLetterStore
    ids: Sequence[str]
    #: Sent in place of the value; then there is one id.
    mended: bytes | None = None
    ask: bool = True
    dry_run: bool = False


def replay_letters(replay: Replay) -> None:
    """Do it, and say what was done.

    Raises:
        ConfigurationError: a mended copy would be dead-lettered again, nobody can be asked, or the topic does not exist.
        TransientError: Kafka or Postgres went away; what is not marked as replayed can be replayed again.
        typer.Exit: with code 1 if Kafka refused a record.
    """
    if not replay.ids:
        notes().print("No dead letters wait for that.", style="dim")
        return
    mended = _mended(replay) if replay.mended is not None else None
    if replay.dry_run:
        _tell_plan(replay)
        return
    if replay.ask:
        _ask(replay)
    refused = _send(replay, mended)
    if refused:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Mended:
    """The key of the mended copy, where the letter had none, and the headers that it goes with."""

    key: bytes | None
    headers: list[tuple[str, bytes]]


def _mended(replay: Replay) -> _Mended:
    """What goes with the mended copy, if that is any better."""
    letter = _get(replay, replay.ids[0])
    capability = load_capabilities(replay.settings).get(letter.capability)
    if capability is None:
        raise ConfigurationError(
            f"the letter is of the capability {letter.capability!r}, which is not configured here: see TIDEGATE_CAPABILITIES"
        )
    limit = replay.settings.max_message_bytes
    headers = _headers(letter)
    whole = [(name, value) for name, value in headers if not name.lower().startswith(("ce_", "content-type"))]
    problem = ""
    for these in (headers, whole):
        try:
            return _Mended(check_record(replay.mended, these, capability.input, max_bytes=limit), these)
        except PermanentError as error:
            problem = problem or f"{error.reason}: {error}"
    binary = ", or the data that belongs to this binary event's headers" if whole != headers else ""
    raise ConfigurationError(
        f"the mended copy would be dead-lettered again ({problem}); it must be a whole CloudEvent{binary}"
    )


def _tell_plan(replay: Replay) -> None:
    topics: Counter[str] = Counter()
    for identifier in replay.ids:
        letter = _get(replay, identifier)
        topics[letter.topic] += 1
        output().print(f"{letter.id}  {letter.topic}  {letter.reason}", soft_wrap=True, markup=False)
    where = ", ".join(f"{count:,} to {topic}" for topic, count in topics.items())
    notes().print(f"Would send {where}; nothing was sent.", style="dim")


def _ask(replay: Replay) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{_letters(len(replay.ids))} would be sent again: confirm with --yes, or name ids")
    typer.confirm(f"Send {_letters(len(replay.ids))} again?", abort=True, err=True)


def _send(replay: Replay, mended: _Mended | None) -> int:
    """Send and mark; returns how many Kafka refused."""
    console = notes()
    sent = refused = 0

    def settle(deliveries: Iterable[Delivery[str]]) -> None:
        nonlocal sent, refused
        for delivery in deliveries:
            progress.advance(task)
            if delivery.refused is not None:
                refused += 1
                console.print(f"{delivery.subject}: {delivery.refused}", style="red", markup=False)
            else:
                replay.store.mark_replayed(delivery.subject)
                sent += 1

    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn())
    checked: set[str] = set()
    with (
        Publisher[str](replay.settings, "tidegate-replay") as publisher,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("", total=len(replay.ids))
        for identifier in replay.ids:
            letter = _get(replay, identifier)
            if letter.topic not in checked:
                require_topic(replay.settings, letter.topic)
                checked.add(letter.topic)
            value = letter.value if replay.mended is None else replay.mended
            key = letter.key if letter.key is not None or mended is None else mended.key
            headers = [*(_headers(letter) if mended is None else mended.headers), (REPLAYED_FROM, letter.id.encode())]
            settle(publisher.send(letter.id, letter.topic, key, value, headers))
        settle(publisher.drain())
    total = f"{refused:,} refused by Kafka" if refused else ""
    done = f"{_letters(sent)} sent again"
    console.print(", ".join(filter(None, (done, total))) + ".", style="red" if refused else "green")
    return refused


def _letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count:,} dead letters"


def _headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The original headers, less the mark of an earlier replay, and less what the reader of an unreadable batch put there."""
    return [(name, value) for name, value in letter.headers if name not in {REPLAYED_FROM, UNREADABLE_HEADER}]


def _get(replay: Replay, identifier: str) -> DeadLetter:
    letter = replay.store.get(identifier)
    if letter is None:
        raise ConfigurationError(f"the dead letter {identifier} was deleted meanwhile")
    return letter
