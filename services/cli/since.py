"""`--since 90s | 15m | 1h | 2d | 1w`, or a time of RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

from services.events.times import rfc3339

__all__ = ["since"]

_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str | None, now: datetime | None = None) -> datetime | None:
    """The moment that `text` names; an age counts back from `now`. None stays None.

    Raises:
        typer.BadParameter: it names none.
    """
    if text is None:
        return None
    text = text.strip()
    age = _AGE.fullmatch(text)
    try:
        if age:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.fromisoformat(rfc3339(text))
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is neither an age, such as 90s, 15m, 1h, 2d or 1w, nor a time, such as 2026-11-24T08:00:00Z",
            param_hint="'--since'",
        ) from None
