"""What reaches a terminal: results on standard output, everything said about them on standard error.

Promises: text that somebody published cannot steer the terminal. `printable` turns every control, format and private-use
character into a visible escape, which also shows what an evasive text hides. Outside a terminal there are no colours and no
animations (rich sees to that).
"""

from __future__ import annotations

import unicodedata
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.console import Console

__all__ = ["ACTION_STYLES", "clock", "notes", "output", "printable", "shortened"]

#: Mildest first, as in the contract.
ACTION_STYLES = {"allow": "green", "flag": "yellow", "review": "dark_orange", "block": "bold red"}

_UNSEEN = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}


def output() -> Console:
    """Standard output as it is now."""
    return Console(highlight=False)


def notes() -> Console:
    """Standard error as it is now."""
    return Console(stderr=True, highlight=False)


def printable(text: str) -> str:
    r"""`text` with everything that is not seen, or that a terminal would obey, as an escape such as `\u200b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short is not None:
        return short
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shortened(text: str, cells: int) -> str:
    """`text` in at most `cells` columns of a terminal, in which a Chinese character takes two."""
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 1).rstrip() + "…"


def clock(moment: datetime, now: datetime) -> str:
    """The local time of a moment of today, the day of any other, in at most eight columns."""
    local = moment.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == now.astimezone().date() else "%b %d")
