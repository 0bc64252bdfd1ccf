"""Times on the wire: RFC 3339 with an offset, and nothing that only looks like it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field

__all__ = ["Timestamp", "rfc3339"]

_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
_RFC3339 = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt]{_CLOCK}:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]{_CLOCK})")


def rfc3339(text: str) -> str:
    """`text` with a capital T and Z, so that `datetime.fromisoformat` reads it.

    Leap seconds and the year 0 are refused: neither Python nor most databases can hold them.

    Raises:
        ValueError: it is not a time of RFC 3339. The message does not show it.
    """
    # fromisoformat reads more than RFC 3339, and the expression knows no calendar: together they are exact.
    if not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 time with an offset")
    text = text.upper()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a day of the calendar") from None
    return text


def _text_or_datetime(value: object) -> object:
    if isinstance(value, str):
        return rfc3339(value)
    if isinstance(value, datetime):
        return value
    # pydantic would read a number as seconds or as milliseconds, whichever looks likelier
    raise ValueError("a time is a text in RFC 3339")


#: A moment: RFC 3339 text with an offset on the wire, an aware `datetime` inside.
Timestamp = Annotated[AwareDatetime, BeforeValidator(_text_or_datetime), Field(strict=False)]
