"""How far a chaos run is: bars in a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["ChaosProgress"]

_LINE_EVERY_S = 10.0


class ChaosProgress:
    """A context manager; `show` may be called as often as one likes."""

    def __init__(self, console: Console, records: int, settled: int) -> None:
        self._console = console
        self._next_line = 0.0
        self._totals = (records, settled)
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._published = self._bars.add_task("published", total=records, said="")
        self._settled = self._bars.add_task("decided", total=settled, said="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, published: int, settled: int, kills: str) -> None:
        """`kills` is a short text, such as `worker 2, kafka 1`."""
        self._bars.update(self._published, completed=published)
        self._bars.update(self._settled, completed=settled, said=kills)
        if self._bars.disable and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_EVERY_S
            records, rows = self._totals
            self._console.print(
                f"published {published:,} of {records:,}, decided {settled:,} of {rows:,}; kills: {kills or 'none yet'}",
                soft_wrap=True,
            )
