"""Text that somebody published, on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from services.cli.screen import clock, printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("中文 ok 🎉", "中文 ok 🎉"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u202eright to left", "\\u202eright to left"),
        ("two\nlines\r\tand a tab", "two\\nlines\\r\\tand a tab"),
        ("\x9b31m", "\\x9b31m"),
        ("\U000e0041tag", "\\U000e0041tag"),
    ],
)
def test_what_is_not_seen_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_no_text_reaches_the_terminal_with_a_control_character(text: str) -> None:
    assert all(character.isprintable() or character == "\u3000" or character.isspace() for character in printable(text))
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in printable(text))


@given(st.text(), st.integers(2, 40))
def test_a_shortened_text_fits(text: str, cells: int) -> None:
    assert cell_len(shortened(printable(text), cells)) <= cells


def test_a_text_that_fits_is_not_cut() -> None:
    assert shortened("四个汉字", 8) == "四个汉字"
    assert shortened("四个汉字", 7) == "四个汉…"


def test_a_moment_of_today_shows_its_time_and_any_other_its_day() -> None:
    now = datetime.now(UTC)
    assert clock(now, now) == now.astimezone().strftime("%H:%M:%S")
    before = now - timedelta(days=3)
    assert clock(before, now) == before.astimezone().strftime("%b %d")
