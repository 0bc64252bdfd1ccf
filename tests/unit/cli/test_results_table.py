"""Results in a terminal."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from services.cli.results_table import ResultTable, action_text, labels_text, reasons_text
from services.storage import ShownResult

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DECISION: dict[str, Any] = {
    "content_id": "c-1",
    "action": "block",
    "severity": "high",
    "labels": {"toxicity": 0.97, "hate": 0.61, "spam": 0.02, "harassment": 0.4, "fraud": 0.3},
    "reasons": [{"source": "model", "label": "toxicity", "score": 0.97, "spans": [{"start": 8, "end": 13}]}],
}


def draw(width: int, *rows: dict[str, Any], decisions: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    shown = [ShownResult(str(n), f"event-{n}", "default", NOW, json.dumps(row)) for n, row in enumerate(rows)]
    console.print(ResultTable(width, NOW, decisions=decisions).draw(shown))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_decision_shows_content_action_severity_labels_and_positions() -> None:
    text = " ".join(draw(120, DECISION))
    for part in ("2026-11-24", "c-1", "block", "high", "toxicity 0.97", "hate 0.61", "harassment 0.40", "[8:13]"):
        assert part in text
    assert "spam" not in text


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    wide = DECISION | {"content_id": "内容" * 60}
    assert max(cell_len(line) for line in draw(width, DECISION, wide)) <= width


def test_a_heading_is_never_broken_at_80_columns() -> None:
    assert draw(80, DECISION)[0].split() == ["time", "content", "action", "severity", "labels", "reasons"]


def test_an_id_cannot_steer_the_terminal() -> None:
    assert not any("\x1b" in line for line in draw(80, DECISION | {"content_id": "\x1b[2J"}))


def test_a_result_that_is_no_decision_shows_its_data() -> None:
    text = " ".join(draw(120, {"toy_id": "t1", "length": 5, "decision_id": "d"}, decisions=False))
    assert "event-0" in text
    assert '{"toy_id": "t1", "length": 5}' in text


def test_an_allowed_content_shows_its_highest_label_only() -> None:
    assert labels_text(DECISION["labels"], brief=True).plain == "toxicity 0.97"
    assert labels_text({"spam": 0.01, "hate": 0.02}).plain == "hate 0.02"


def test_each_action_has_a_colour_of_its_own() -> None:
    assert len({str(action_text(action).style) for action in ("allow", "flag", "review", "block")}) == 4


def test_a_reason_quotes_the_words_where_the_text_is_known() -> None:
    assert reasons_text(DECISION["reasons"], "you are awful, friend").plain == "toxicity 0.97 “awful”"
    assert reasons_text(DECISION["reasons"]).plain == "toxicity 0.97 [8:13]"


def test_a_reason_names_a_source_other_than_the_model() -> None:
    reason: dict[str, Any] = {"source": "rule", "label": "spam", "rule": "links", "score": None, "spans": []}
    assert reasons_text([reason]).plain == "rule: spam links"
