"""`--since`: an age or a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from services.cli.since import since

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1h", timedelta(hours=1)),
        (" 2 d ", timedelta(days=2)),
        ("1w", timedelta(weeks=1)),
        ("0s", timedelta()),
    ],
)
def test_an_age_counts_back_from_now(text: str, age: timedelta) -> None:
    assert since(text, NOW) == NOW - age


def test_a_time_with_an_offset_is_that_moment() -> None:
    assert since("2026-11-24T09:30:00+01:00", NOW) == datetime(2026, 11, 24, 8, 30, tzinfo=UTC)


def test_no_text_is_no_limit() -> None:
    assert since(None, NOW) is None


@pytest.mark.parametrize(
    "text", ["", "1", "h", "1y", "-1h", "1.5h", "yesterday", "2026-11-24", "2026-11-24T09:30:00", "999999w"]
)
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"15m.*2026-11-24T08:00:00Z"):
        since(text, NOW)
