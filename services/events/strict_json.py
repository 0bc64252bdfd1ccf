"""JSON that means one thing: parsing with every ambiguity and every unstorable value refused.

Plain JSON parsers differ about duplicate keys, NaN, integers of any size and lone surrogates, and Postgres stores neither
a NUL nor half a surrogate pair. A message that two parsers read differently could carry one text past the rules and
another into the table, so `loads` accepts only what all of them read alike.

Two paths give one answer. The fast path (orjson, two byte searches and one short walk) accepts a document only when it
can prove that the exact path would accept it with the same value; anything else goes to the exact path, which decides and
names the position. The exact path is linear in the size of the document, whatever a hostile sender writes.
"""

from __future__ import annotations

import json
import math
import re
from json import JSONDecodeError
from typing import Any, NoReturn

import orjson

from services.errors import DeadLetterReason, PermanentError

__all__ = ["loads", "loads_exact"]

#: Integers are stored as `bigint`: -2^63 .. 2^63 - 1.
_INTEGER_LIMIT = 2**63
#: The longest token of an integer in that range, with its sign. Longer ones are never converted: that costs quadratic time.
_INTEGER_DIGITS = 20

#: The tokens that the exact path looks at. Short numbers, literals and commas need no look and are skipped by the search.
#: Every repeat is possessive, so that a long string costs neither memory nor backtracking.
_TOKEN = re.compile(
    r"""
      (?P<string>"(?:[^"\\]|\\.)*+")[ \t\n\r]*+(?P<colon>:?)
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?<![0-9.eE+\-])(?P<integer>-?[0-9]{19,}+)(?![.eE])
    """,
    re.VERBOSE | re.DOTALL,
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(value: bytes, *, max_depth: int) -> Any:
    """Parse `value`; containers may nest `max_depth` deep (a flat object is 1 deep).

    Raises:
        PermanentError: NOT_UTF8, NOT_JSON (NaN and infinities included), DUPLICATE_KEY, TOO_DEEP, LONE_SURROGATE,
            NUL_CHARACTER, or SCHEMA for a number that no column can hold. The message gives the byte, never the text.
    """
    # Both escapes are rare in honest documents. Without "\u003a", a colon of the document is a colon of a key's
    # separator or of a parsed string, which makes the count below exact.
    if b"\\u0000" not in value and b"\\u003" not in value:
        try:
            document = orjson.loads(value)
            if _is_plain(document, max_depth) and orjson.dumps(document).count(b":") == value.count(b":"):
                # orjson keeps the last of duplicate keys silently. A dropped member takes its colon with it, so equal
                # counts before and after prove that no key was dropped.
                return document
        except (ValueError, TypeError):  # not acceptable, or deeper than orjson writes: the exact path finds out
            pass
    return loads_exact(value, max_depth=max_depth)


def _is_plain(document: Any, max_depth: int) -> bool:
    """True if nothing nests deeper than `max_depth` and every number is in range and surely exact."""
    level: list[Any] = [[document]]
    depth = -1
    while level:
        depth += 1
        if depth > max_depth:
            return False
        deeper = []
        for container in level:
            for item in container.values() if type(container) is dict else container:
                kind = type(item)
                if kind is str or item is None or kind is bool:
                    continue
                if kind is dict or kind is list:
                    deeper.append(item)
                elif not -_INTEGER_LIMIT < item < _INTEGER_LIMIT:
                    return False  # an integer out of range; or a float, which orjson makes of a huge integer silently
        level = deeper
    return True


def loads_exact(value: bytes, *, max_depth: int) -> Any:
    """What `loads` promises, in the plainest way and at about ten times the cost; the reference in tests."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PermanentError(DeadLetterReason.NOT_UTF8, f"not UTF-8 at byte {error.start}") from None
    try:
        document = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_constant)
    except JSONDecodeError as error:
        at = _byte(text, error.pos)
        raise PermanentError(DeadLetterReason.NOT_JSON, f"not JSON at byte {at} of {len(value)}: {error.msg}") from None
    except RecursionError:  # Python's parser stops near 1,000, far above any `max_depth`
        raise PermanentError(DeadLetterReason.TOO_DEEP, f"nested deeper than {max_depth} levels") from None
    _check_tokens(text, max_depth)
    return document


def _check_tokens(text: str, max_depth: int) -> None:
    """Walk the tokens of a syntactically valid document and refuse the first that `loads` does not promise to accept."""
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "open":
            keys.append(set())
            if len(keys) > max_depth:
                _refuse(DeadLetterReason.TOO_DEEP, f"nested deeper than {max_depth} levels", text, token.start())
        elif kind == "close":
            keys.pop()
        elif kind == "integer":
            if len(token["integer"]) > _INTEGER_DIGITS or not _fits(int(token["integer"])):
                _refuse(DeadLetterReason.SCHEMA, "an integer outside -2^63 .. 2^63 - 1", text, token.start())
        else:
            string = token["string"]
            string = _unescape(string, text, token.start()) if "\\" in string else string[1:-1]
            if token["colon"]:
                if string in keys[-1]:
                    _refuse(
                        DeadLetterReason.DUPLICATE_KEY, "a key for the second time in one object", text, token.start()
                    )
                keys[-1].add(string)


def _unescape(token: str, text: str, position: int) -> str:
    string: str = json.loads(token)
    if "\0" in string:
        _refuse(DeadLetterReason.NUL_CHARACTER, "a NUL character in the string", text, position)
    if _SURROGATE.search(string):
        _refuse(DeadLetterReason.LONE_SURROGATE, "half of a surrogate pair in the string", text, position)
    return string


def _fits(number: int) -> bool:
    return -_INTEGER_LIMIT <= number < _INTEGER_LIMIT


def _integer(token: str) -> int:
    # A longer token is refused by `_check_tokens`, which knows its position; its value is never used.
    return int(token) if len(token) <= _INTEGER_DIGITS else 0


def _float(token: str) -> float:
    number = float(token)
    if math.isinf(number):
        _refuse_number()
    return number


def _refuse_number() -> NoReturn:
    raise PermanentError(DeadLetterReason.SCHEMA, "a number is too large for a 64-bit float")


def _constant(token: str) -> NoReturn:
    raise PermanentError(DeadLetterReason.NOT_JSON, f"{token} is not JSON")


def _refuse(reason: DeadLetterReason, what: str, text: str, position: int) -> NoReturn:
    raise PermanentError(reason, f"{what} at byte {_byte(text, position)}")


def _byte(text: str, position: int) -> int:
    return len(text[:position].encode("utf-8"))
