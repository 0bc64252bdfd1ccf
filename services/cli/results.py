"""`tidegate results`: what is stored, newest last; with `--follow`, as it comes.

What is shown is the stored row, which is what was published. It does not hold the text, so reasons show the positions of
their words in it (code points, end exclusive).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from services.capabilities import Capability, load_capabilities
from services.cli.connection import DataOption, settings_for
from services.cli.lines import DEFAULT_SOURCE
from services.cli.results_table import ResultTable
from services.cli.screen import notes, output
from services.errors import ConfigurationError, TransientError
from services.events import DEFAULT_TENANT, decision_id
from services.settings import Settings
from services.storage import Database, DeadLetterStore, ResultReader, ResultTail, ShownResult

__all__ = ["open_database", "results"]

_POLL_S = 0.5


def results(
    capability: Annotated[str, typer.Argument(metavar="CAPABILITY", help="Such as review.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, and show results as they come.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: the `data` of the result event, as published.")
    ] = False,
    event_id: Annotated[
        str | None, typer.Option(help="The result of this event. With --follow, wait for it.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Show so many of the newest.")] = 20,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.", show_default=False)] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="The event's CloudEvents source: finds --event-id at once, in a table of any size.", show_default=False
        ),
    ] = None,
    data: DataOption = None,
) -> None:
    """Show the latest results of a capability.

    Newest last. Reasons point into the text by position: the text itself is
    not stored. Exit code 1 if --event-id has no result.
    """
    settings = settings_for(data, "postgres")
    chosen = capability_named(settings, capability)
    with open_database(settings) as database:
        reader = ResultReader(database, chosen.table)
        show = _Printer(as_json=as_json, decisions="action" in chosen.output.model.model_fields)
        if event_id is not None:
            tenants = [tenant] if tenant else sorted({*settings.tenants, DEFAULT_TENANT})
            search = _Search(reader, DeadLetterStore(database), chosen, event_id, tenants, source)
            show(search.wait() if follow else search.look())
            return
        if follow:
            _follow(ResultTail(reader, tenant=tenant), limit, show)
            return
        rows = reader.latest(limit, tenant=tenant)
        show(rows)
        if not rows:
            notes().print(f"No results yet. Publish something: tidegate publish {chosen.input.topic} FILE", style="dim")


def capability_named(settings: Settings, name: str) -> Capability:
    """The capability of this name.

    Raises:
        ConfigurationError: there is none; the message names those there are.
    """
    capabilities = load_capabilities(settings)
    if name not in capabilities:
        raise ConfigurationError(f"there is no capability {name!r}; known: {', '.join(sorted(capabilities))}")
    return capabilities[name]


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """A small pool, closed at the end."""
    database = Database(settings, size=2, acquire_timeout_s=5.0)
    try:
        yield database
    finally:
        database.close()


class _Printer:
    """Prints rows on standard output; the table's heading once."""

    def __init__(self, *, as_json: bool, decisions: bool) -> None:
        self._as_json = as_json
        self._console: Console = output()
        self._table = ResultTable(self._console.width, datetime.now(UTC), decisions=decisions)
        self._heading = True

    def __call__(self, rows: Sequence[ShownResult]) -> None:
        if not rows:
            return
        if self._as_json:
            sys.stdout.writelines(row.data + "\n" for row in rows)
            sys.stdout.flush()
            return
        self._console.print(self._table.draw(rows, heading=self._heading))
        self._heading = False


def _follow(tail: ResultTail, limit: int, show: _Printer) -> None:
    """Until Ctrl-C. An outage of Postgres is waited for."""
    patient = _Patience()
    while True:
        try:
            show(tail.start(limit))
            break
        except TransientError as error:
            patient.wait(error)
    while True:
        try:
            for page in tail.poll():
                show(page)
            patient.relax()
            time.sleep(_POLL_S)
        except TransientError as error:
            patient.wait(error)


class _Patience:
    """Says once that something is away, and once that it is back."""

    def __init__(self) -> None:
        self._waiting = False

    def wait(self, error: TransientError) -> None:
        if not self._waiting:
            notes().print(f"Waiting: {error}", style="yellow", markup=False)
        self._waiting = True
        time.sleep(1.0)

    def relax(self) -> None:
        if self._waiting:
            notes().print("It answers again.", style="yellow")
        self._waiting = False


class _Search:
    """The result of one event."""

    def __init__(
        self,
        reader: ResultReader,
        letters: DeadLetterStore,
        capability: Capability,
        event_id: str,
        tenants: Sequence[str],
        source: str | None,
    ) -> None:
        self._reader = reader
        self._letters = letters
        self._event_id = event_id
        self._tenant = tenants[0] if len(tenants) == 1 else None
        self._source = source
        self._likely = [str(decision_id(t, source or DEFAULT_SOURCE, event_id, capability.name)) for t in tenants]

    def look(self) -> list[ShownResult]:
        """Its rows now.

        Raises:
            ConfigurationError: there are none; the message says if it was dead-lettered.
        """
        rows = self._rows()
        if not rows:
            self._raise_if_dead()
            raise ConfigurationError(f"event {self._event_id!r} has no result yet; --follow waits for it")
        return rows

    def wait(self) -> list[ShownResult]:
        """Its rows, as soon as there are any.

        Raises:
            ConfigurationError: it was dead-lettered.
        """
        while not (rows := self._rows()):
            self._raise_if_dead()
            time.sleep(_POLL_S)
        return rows

    def _rows(self) -> list[ShownResult]:
        rows = self._reader.of_decisions(self._likely, tenant=self._tenant)
        return rows or ([] if self._source else self._reader.of_event(self._event_id, tenant=self._tenant))

    def _raise_if_dead(self) -> None:
        letters = self._letters.find(event_id=self._event_id, pending_only=True, limit=1)
        if letters:
            raise ConfigurationError(
                f"event {self._event_id!r} was dead-lettered ({letters[0].reason}): see `tidegate dlq show {letters[0].id}`"
            )
