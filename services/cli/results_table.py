"""Results as a person likes to read them: what was decided, how sure the model was, and why. Pure.

Columns have fixed widths, computed from the terminal's, so that rows that come one by one line up with those above.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from services.cli.screen import ACTION_STYLES, clock, printable, shortened
from services.storage import ShownResult

__all__ = ["ResultTable", "action_text", "labels_text", "reasons_text"]

_SEVERITY_STYLES = {"medium": "yellow", "high": "red", "critical": "bold red"}
#: A score below this says nothing worth a line.
_LOW = 0.1
_TOP_LABELS = 3
#: Columns of a quotation, in a narrow column some lines.
_QUOTE = 44
#: Columns between two columns, one of which is the box's.
_GAP = 2
#: Terminals of at least this many columns show the date beside the time.
_WIDE = 100


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    width: int


class ResultTable:
    """Draws rows for a terminal of `width` columns. `now` decides which times need their date."""

    def __init__(self, width: int, now: datetime, *, decisions: bool) -> None:
        self._decisions = decisions
        self._now = now
        self._wide = width >= _WIDE
        time = _Column("time", 19 if self._wide else 8)
        if decisions:
            rest = max(width - time.width - 6 - 8 - 5 * _GAP, 40)
            content = max(rest * 22 // 100, 8)
            labels = max(rest * 38 // 100, 16)
            self._columns: tuple[_Column, ...] = (
                time,
                _Column("content", content),
                _Column("action", 6),
                _Column("severity", 8),
                _Column("labels", labels),
                _Column("reasons", rest - content - labels),
            )
        else:
            rest = max(width - time.width - 2 * _GAP, 40)
            self._columns = (time, _Column("event", rest // 3), _Column("result", rest - rest // 3))

    def draw(self, rows: Iterable[ShownResult], *, heading: bool = True) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD, show_header=heading, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0)
        )
        for column in self._columns:
            table.add_column(column.heading, width=column.width, overflow="fold")
        for row in rows:
            data = json.loads(row.data)
            table.add_row(Text(self._time(row.decided_at), "dim"), *self._cells(row, data))
        return table

    def _cells(self, row: ShownResult, data: Mapping[str, Any]) -> Sequence[Text]:
        if not self._decisions:
            plain = {
                name: value for name, value in data.items() if name not in {"decision_id", "event_id", "decided_at"}
            }
            return Text(printable(row.event_id)), Text(printable(json.dumps(plain, ensure_ascii=False)))
        severity = str(data.get("severity", ""))
        return (
            Text(shortened(printable(str(data.get("content_id", ""))), self._columns[1].width)),
            action_text(str(data.get("action", ""))),
            Text(printable(severity), _SEVERITY_STYLES.get(severity, "")),
            labels_text(data.get("labels") or {}, brief=data.get("action") == "allow"),
            reasons_text(data.get("reasons") or []),
        )

    def _time(self, moment: datetime) -> str:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if self._wide else clock(moment, self._now)


def action_text(action: str) -> Text:
    """The action in its colour."""
    return Text(printable(action), ACTION_STYLES.get(action, ""))


def labels_text(labels: Mapping[str, float], *, brief: bool = False) -> Text:
    """The highest labels with their scores, one a line; the highest alone, dim, where none is worth more (or `brief`)."""
    ranked = sorted(labels.items(), key=lambda item: -item[1])
    shown = [item for item in ranked[:_TOP_LABELS] if item[1] >= _LOW]
    faint = brief or not shown
    return Text(
        "\n".join(f"{printable(label)} {score:.2f}" for label, score in (ranked[:1] if faint else shown)),
        "dim" if faint else "",
    )


def reasons_text(reasons: Sequence[Mapping[str, Any]], text: str | None = None) -> Text:
    """Why: one reason a line, with the words it means where `text` is known, else with their positions."""
    return Text("\n".join(_reason(reason, text) for reason in reasons))


def _reason(reason: Mapping[str, Any], text: str | None) -> str:
    parts = [printable(str(reason[name])) for name in ("label", "rule") if reason.get(name)]
    if reason.get("source") not in {None, "model"}:
        parts.insert(0, f"{printable(str(reason['source']))}:")
    if reason.get("score") is not None:
        parts.append(f"{reason['score']:.2f}")
    for span in reason.get("spans") or []:
        start, end = span["start"], span["end"]
        parts.append(
            f"[{start}:{end}]" if text is None else f"“{shortened(printable(text[start:end].strip()), _QUOTE)}”"
        )
    return " ".join(parts)
