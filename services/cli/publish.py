"""`tidegate publish`: a file of JSON lines, or standard input, onto an input topic.

Promises: an event id is printed when the broker has acknowledged the event, in the order of the lines; every send is looked at;
a line that the pipeline would refuse is reported and the others go on; memory does not grow with the file.

A line that is a `data` object becomes an event with a new random id each time, so publishing a file twice publishes its texts
twice. A line that is a whole CloudEvent keeps its id: publishing it twice is publishing one event twice, and decided once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

from services.capabilities import load_capabilities
from services.cli.connection import DataOption, settings_for
from services.cli.lines import DEFAULT_SOURCE, LINE_LIMIT, bounded_lines, read_line, read_raw_line
from services.cli.screen import notes
from services.errors import ConfigurationError, DeadLetterReason, PermanentError, TransientError
from services.events import DEFAULT_TENANT, EventType, Outgoing, topic_name
from services.messaging import Delivery, Publisher, require_topic
from services.settings import Settings

__all__ = ["event_type_of", "publish"]

#: Printed in place of an id for a raw line that has none, so that line n of the output is still the n-th acknowledged line.
_NO_ID = "-"


def publish(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Input topic, such as content.submitted.")],
    file: Annotated[
        str,
        typer.Argument(metavar="[FILE|-]", help="JSON lines: `data` objects or whole CloudEvents.", show_default=False),
    ] = "-",
    tenant: Annotated[str, typer.Option(help="Whose policy applies to `data` objects.")] = DEFAULT_TENANT,
    source: Annotated[str, typer.Option(help="CloudEvents source of `data` objects.")] = DEFAULT_SOURCE,
    key: Annotated[
        str | None,
        typer.Option(
            help="Kafka key of every record. Default: the topic's own, such as the author.", show_default=False
        ),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Send each line's bytes untouched and unchecked.")] = False,
    data: DataOption = None,
) -> None:
    """Publish events from a file of JSON lines.

    A line is a `data` object, which becomes an event with a new id each time,
    or a whole CloudEvent, which keeps its id. The ids of acknowledged events
    are printed on standard output. A line that would be refused anyway is
    reported, the others go on, and the exit code is 1.
    """
    settings = settings_for(data, "kafka")
    event_type = event_type_of(settings, topic)

    def read(line: bytes | None) -> Outgoing | None:
        if line is None:
            raise PermanentError(DeadLetterReason.TOO_LARGE, f"the line has more than {LINE_LIMIT} bytes")
        if raw:
            return read_raw_line(line, event_type, key=key)
        limit = settings.max_message_bytes
        return read_line(line, event_type, source=source, tenant=tenant, key=key, max_bytes=limit)

    with _opened(file) as (lines, size_bytes):
        require_topic(settings, topic_name(settings.topic_prefix, event_type.topic))
        with Publisher[_Sent](settings, "tidegate-publish") as publisher, _Report(size_bytes) as report:
            run = _Run(settings, event_type, publisher, report)
            for number, line in enumerate(bounded_lines(lines), 1):
                report.advance(LINE_LIMIT if line is None else len(line))
                try:
                    record = read(line)
                except PermanentError as error:
                    report.bad(number, f"{error.reason}: {error}")
                else:
                    if record is not None:
                        run.send(number, record)
            run.finish()
    report.say_total()
    if report.refused:
        raise typer.Exit(1)


def event_type_of(settings: Settings, topic: str) -> EventType:
    """The event type that is published to `topic`, with or without the prefix.

    Raises:
        ConfigurationError: no capability reads that topic; the message names those that one can publish to.
    """
    types = [capability.input for capability in load_capabilities(settings).values()]
    for event_type in types:
        if topic in {event_type.topic, topic_name(settings.topic_prefix, event_type.topic)}:
            return event_type
    known = ", ".join(sorted(event_type.topic for event_type in types))
    raise ConfigurationError(f"there is no input topic {topic!r}; known: {known}")


@dataclass(frozen=True, slots=True)
class _Sent:
    number: int
    event_id: str


class _Run:
    """One file on its way."""

    def __init__(self, settings: Settings, event_type: EventType, publisher: Publisher[_Sent], report: _Report) -> None:
        self._topic = topic_name(settings.topic_prefix, event_type.topic)
        self._publisher = publisher
        self._report = report
        self._first_open = 0

    def send(self, number: int, record: Outgoing) -> None:
        sent = _Sent(number, record.event_id or _NO_ID)
        try:
            for delivery in self._publisher.send(sent, self._topic, record.key, record.value):
                self._settle(delivery)
        except TransientError as error:
            raise self._cut_off(error) from error

    def finish(self) -> None:
        try:
            for delivery in self._publisher.drain():
                self._settle(delivery)
        except TransientError as error:
            raise self._cut_off(error) from error

    def _settle(self, delivery: Delivery[_Sent]) -> None:
        self._first_open = delivery.subject.number + 1
        if delivery.refused is not None:
            self._report.bad(delivery.subject.number, delivery.refused)
        else:
            self._report.good(delivery.subject.event_id)

    def _cut_off(self, error: TransientError) -> TransientError:
        return TransientError(
            f"{error}; {self._report.accepted} events were acknowledged, all before line {max(self._first_open, 1)}"
        )


class _Report:
    """Ids on standard output; progress, bad lines and the sum on standard error."""

    def __init__(self, size_bytes: int | None) -> None:
        self.accepted = 0
        self.refused = 0
        self._console: Console = notes()
        columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn()) if size_bytes else ()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[accepted]:,} acknowledged, {task.fields[refused]:,} refused"),
            *columns,
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            # Ids go to standard output. Only where that is this very terminal may the bar make room for them.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task: TaskID = self._progress.add_task("", total=size_bytes, accepted=0, refused=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        sys.stdout.flush()

    def advance(self, size_bytes: int) -> None:
        if not self._progress.disable:
            self._progress.update(self._task, advance=size_bytes, accepted=self.accepted, refused=self.refused)

    def good(self, event_id: str) -> None:
        self.accepted += 1
        sys.stdout.write(event_id + "\n")

    def bad(self, number: int, reason: str) -> None:
        self.refused += 1
        self._console.print(f"line {number}: {reason}", markup=False, soft_wrap=True)

    def say_total(self) -> None:
        events = "1 event" if self.accepted == 1 else f"{self.accepted:,} events"
        lines = "1 line" if self.refused == 1 else f"{self.refused:,} lines"
        refused = f", {lines} refused" if self.refused else ""
        style = "red" if self.refused else "green"
        self._console.print(f"{events} published{refused}.", style=style)


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The file's lines as bytes, and its size where it has one."""
    if file == "-":
        if sys.stdin.isatty():
            notes().print("Reading JSON lines from the terminal; Ctrl-D ends.", style="dim")
        yield sys.stdin.buffer, None
        return
    path = Path(file)
    try:
        with path.open("rb") as opened:
            yield opened, path.stat().st_size if path.is_file() else None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise ConfigurationError(f"the file {file} cannot be read: {error.strerror}") from None
