"""One run of the harness: publish into one capability, wait until everything is settled, and let the checker judge.

Used by `tidegate chaos`, which kills at random meanwhile, and by the scenario tests, which break one thing on purpose.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.chaos.checker import Verdict, judge
from tests.chaos.evidence import Lag, Target, count_rows, read_dead_records, read_dead_rows, read_events, read_rows
from tests.chaos.feed import Feed
from tests.chaos.journal import Journal, Planned, read_journal

__all__ = ["Trial"]

_LOOK_S = 0.5
#: The lag must be zero for two looks this far apart: a commit that a rebalance undoes comes to light in between.
_CALM_S = 2.0


class Trial:
    """A context manager: publishing begins at its start, and is given up at its end if it is not through."""

    def __init__(
        self, target: Target, folder: Path, run: str, events: Iterable[Planned], rate: float | None = None
    ) -> None:
        self.target = target
        self.run = run
        self._path = folder / f"{run}.journal"
        self._journal = Journal(self._path, run)
        self._lag = Lag(target)
        self.feed = Feed(target.kafka, target.input_topic, self._journal, events, rate)
        #: Rows seen at the last look that Postgres answered.
        self.settled = 0

    def __enter__(self) -> Self:
        self.feed.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.feed.stop()
        self._journal.close()
        self._lag.close()

    def look(self) -> int:
        """How many events have a row by now."""
        with contextlib.suppress(psycopg.Error):  # it is being killed; the next look will tell
            self.settled = count_rows(self.target, self.run)
        if self.feed.error is not None:
            raise self.feed.error
        return self.settled

    def wait_for(self, count: int, patience_s: float = 60.0) -> None:
        """Until so many events have a row.

        Raises:
            TimeoutError: nothing came for `patience_s`.
        """
        self._wait(lambda: self.look() >= count, patience_s, f"{count} settled events")

    def wait_until_settled(self, patience_s: float = 60.0, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Until everything is published and the group has committed all of it, twice in a row.

        Raises:
            TimeoutError: no progress for `patience_s`.
        """
        calm_since: float | None = None

        def settled() -> bool:
            nonlocal calm_since
            meanwhile()
            self.look()
            if not self.feed.done.is_set() or self._lag.now() != 0:
                calm_since = None
                return False
            calm_since = calm_since or time.monotonic()
            return time.monotonic() - calm_since >= _CALM_S

        self._wait(settled, patience_s, "everything to be committed")

    def verdict(self) -> Verdict:
        """What the checker says. Everything must be settled."""
        self._journal.flush()
        target = self.target
        return judge(
            read_journal(self._path),
            read_rows(target, self.run),
            read_events(target),
            read_dead_rows(target),
            read_dead_records(target),
        )

    def _wait(self, reached: Callable[[], bool], patience_s: float, what: str) -> None:
        progress, since = (-1, -1), time.monotonic()
        while not reached():
            now = (self.feed.acknowledged, self.settled)
            if now != progress:
                progress, since = now, time.monotonic()
            elif time.monotonic() - since > patience_s:
                raise TimeoutError(
                    f"no progress for {patience_s:.0f} s while waiting for {what}: {now[0]} records published, {now[1]} settled"
                )
            time.sleep(_LOOK_S)
