"""What a chaos run found, as a table for people and as JSON for records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from tests.chaos.checker import Verdict
from tests.load.machine import Machine

__all__ = ["Report"]

#: Ids per fault that are shown and kept: enough to look into one.
_SHOWN_IDS = 20

_SENTENCES = {
    "unacknowledged": "events that the broker never took",
    "lost_rows": "lost: no row",
    "lost_events": "lost: no output event",
    "double_rows": "effect twice: rows",
    "double_events": "effect twice: output events",
    "differing": "row and output event differ",
    "misattributed": "decision about another content",
    "dead_lettered": "good events dead-lettered",
    "lost_dead_letters": "bad events without row or record",
    "double_dead_letters": "bad events with two rows",
    "wrong_dead_letters": "bad events with other bytes or reason",
    "strangers": "effects of nothing that was published",
}


@dataclass(frozen=True, slots=True)
class Report:
    """`kills`, `freezes` and `restarts` are by kind or process; `redeliveries` are lower bounds (see `counters`)."""

    seed: int
    model: str
    records: int
    verdict: Verdict
    kills: Mapping[str, int]
    freezes: Mapping[str, int]
    flushes: int
    restarts: Mapping[str, int]
    redeliveries: Mapping[str, int]
    wall_s: float
    machine: Machine
    #: Why the run ended before everything was settled; empty when it did not.
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Nothing lost, nothing doubled, nothing changed."""
        return not self.verdict.faults and not self.problem

    def json(self) -> dict[str, Any]:
        """Everything, with the first ids of each fault."""
        found = asdict(self)
        for name in _SENTENCES:
            ids = found["verdict"].pop(name)
            found["verdict"][name] = {"count": len(ids), "first": ids[:_SHOWN_IDS]}
        return {"passed": self.passed, "lost": self.verdict.lost, "doubled": self.verdict.doubled, **found}

    def table(self) -> Table:
        """One row per fact; what must be zero is green or red."""
        verdict = self.verdict
        table = Table(title=f"Chaos: {self.model}, seed {self.seed}", title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_row("good events published", f"{verdict.published:,}")
        table.add_row("  with exactly their effects", f"{verdict.decided:,}")
        table.add_row("bad events planted", f"{verdict.planted:,}")
        table.add_row("  found byte for byte", f"{verdict.rejected:,}")
        table.add_section()
        faults = verdict.faults
        for name, sentence in _SENTENCES.items():
            count = len(faults.get(name, ()))
            table.add_row(sentence, f"{count:,}", style="bold red" if count else "green")
        table.add_section()
        for name, count in self.redeliveries.items():
            table.add_row(name, f"{count:,}")
        table.add_section()
        for kind, count in self.kills.items():
            table.add_row(f"SIGKILL {kind}", str(count))
        for kind, count in self.freezes.items():
            table.add_row(f"SIGSTOP and SIGCONT {kind}", str(count))
        table.add_row("FLUSHALL valkey", str(self.flushes))
        for name, count in self.restarts.items():
            table.add_row(f"restarts of {name}", str(count))
        table.add_section()
        table.add_row("wall time", f"{self.wall_s:,.0f} s")
        return table

    def conclusion(self) -> str:
        """One sentence."""
        if self.passed:
            return f"Nothing lost, no effect twice: {self.records:,} records, {sum(self.kills.values())} kills."
        ids = {name: found[:3] for name, found in self.verdict.faults.items()}
        return " ".join(
            filter(None, (f"Lost {self.verdict.lost}, doubled {self.verdict.doubled}.", self.problem, str(ids)))
        )
