"""A time on the wire is RFC 3339 with an offset, and Python can read it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.events.times import rfc3339

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=OFFSETS))
def test_every_moment_of_python_is_readable(moment: datetime) -> None:
    assert datetime.fromisoformat(rfc3339(moment.isoformat())) == moment


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-24T09:00:00Z", "2026-11-24T09:00:00Z"),
        ("2026-11-24t09:00:00z", "2026-11-24T09:00:00Z"),
        ("2024-02-29T23:59:59.123456789-00:00", "2024-02-29T23:59:59.123456789-00:00"),
    ],
)
def test_letters_become_capitals(text: str, read: str) -> None:
    assert rfc3339(text) == read
    assert datetime.fromisoformat(read).tzinfo is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-24",
        "2026-11-24T09:00:00",
        "2026-11-24 09:00:00Z",
        "2026-11-24T09:00Z",
        "20261124T090000Z",
        "2026-W48-2T09:00:00Z",
        "2026-02-29T09:00:00Z",
        "2026-13-01T09:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T09:60:00Z",
        "2016-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "2026-11-24T09:00:00+24:00",
        "2026-11-24T09:00:00+08:60",
        "2026-11-24T09:00:00.Z",
        "２０２６-11-24T09:00:00Z",
        "2026-11-24T09:00:00Z\n",
        "1790000000",
    ],
)
def test_what_only_looks_like_a_time_is_refused_unshown(text: str) -> None:
    with pytest.raises(ValueError, match="not a") as caught:
        rfc3339(text)
    assert not text or text not in str(caught.value)
