"""One line of the benchmark: what was measured, the target it is held to, and whether it holds, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from rich.table import Table

__all__ = ["Row", "fact", "missing", "table_of", "target_row"]

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Row:
    """`measured` is the median of `samples`. A row without a target is there to explain another one."""

    name: str
    unit: str
    measured: float | None
    target: float | None = None
    better: Better = "lower"
    samples: tuple[float, ...] = ()
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`pass`, `fail`, `not measured`, or nothing where there is no target."""
        if self.measured is None:
            return "not measured"
        if self.target is None:
            return ""
        holds = self.measured >= self.target if self.better == "higher" else self.measured <= self.target
        return "pass" if holds else "fail"

    def json(self) -> dict[str, Any]:
        """With the verdict."""
        return {**asdict(self), "verdict": self.verdict}


def target_row(
    name: str,
    unit: str,
    samples: Sequence[float],
    *,
    target: float,
    better: Better = "lower",
    note: str = "",
    **details: Any,
) -> Row:
    """A row that passes or fails."""
    return Row(name, unit, median(samples), target, better, tuple(samples), note, details)


def fact(name: str, unit: str, samples: Sequence[float], *, note: str = "", **details: Any) -> Row:
    """A row that explains."""
    return Row(name, unit, median(samples), samples=tuple(samples), note=note, details=details)


def missing(name: str, unit: str, why: str, *, target: float | None = None, better: Better = "lower") -> Row:
    """A row that could not be measured, and why."""
    return Row(name, unit, None, target, better, note=f"not measured: {why}")


def table_of(rows: Sequence[Row], title: str) -> Table:
    """For people."""
    table = Table(title=title, title_justify="left")
    for name in ("what", "measured", "target", "verdict", "note"):
        table.add_column(name, justify="right" if name in {"measured", "target"} else "left")
    for row in rows:
        sign = "≥" if row.better == "higher" else "≤"
        table.add_row(
            row.name,
            "-" if row.measured is None else f"{_shown(row.measured)} {row.unit}",
            "" if row.target is None else f"{sign} {_shown(row.target)} {row.unit}",
            row.verdict,
            row.note,
            style={"pass": "green", "fail": "bold red", "not measured": "yellow"}.get(row.verdict, ""),
        )
    return table


def _shown(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 20 else f"{value:.2f}"
