"""JSON as senders really write it: any spacing and escapes, and every fault that `strict_json` must refuse.

`json_texts()` draws from a writer of its own rather than from `json.dumps`, because `json.dumps` cannot write a key twice, a
raw character where an escape would do, or an integer as `1e2`. `faults_of` is the slow and obvious reference.
"""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import strategies as st

from services.errors import DeadLetterReason as Reason

__all__ = ["faults_of", "json_texts"]

_SPACE = st.sampled_from(["", "", "", " ", "\n", "\t \r"])
_CHARACTERS = st.one_of(
    st.sampled_from([*':,"\\/{}[]\n\0\x1f\x7f', "\ud800", "\udfff", "😀", "中", "\ufeff"]),
    st.characters(codec=None),
)
_NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64]).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["-0", "0.0", "1E5", "1e400", "-1e400", "NaN", "Infinity", "-Infinity", "01", "1.", "9" * 5000]),
    st.sampled_from(["0.12345678901234567890123", "12345678901234567890.5", "123456789012345678901234567890e-20"]),
    st.just("1e-0000000000000000000001"),
)


def json_texts(*, max_leaves: int = 12) -> st.SearchStrategy[bytes]:
    """Documents that are JSON or nearly so, as bytes."""
    scalars = st.one_of(_strings(), _NUMBERS, st.sampled_from(["true", "false", "null", "nul", ""]))
    texts = st.recursive(scalars, lambda inner: st.one_of(_arrays(inner), _objects(inner)), max_leaves=max_leaves)
    padded = st.tuples(_SPACE, texts, _SPACE).map("".join)
    return st.one_of(
        padded.map(_to_bytes), st.tuples(padded.map(_to_bytes), st.binary(max_size=2), st.integers(0, 80)).map(_spoilt)
    )


@st.composite
def _strings(draw: st.DrawFn) -> str:
    text = draw(st.one_of(st.text(_CHARACTERS, max_size=6), st.sampled_from(["\\u0000", "\\u003a", "\\ud800"])))
    return '"' + "".join(_written(character, draw(st.integers(0, 7))) for character in text) + '"'


def _written(character: str, how: int) -> str:
    code = ord(character)
    if how == 0 or character in '"\\' or code < 0x20 or 0xD800 <= code <= 0xDFFF:
        if how == 1:
            return character  # a raw quote, control character or surrogate: not JSON, or not UTF-8
        units = character.encode("utf-16-be", "surrogatepass")
        escapes = [f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)]
        return "".join(escapes).replace("\\u003a", "\\u003A" if how == 2 else "\\u003a")
    return character


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(inner, max_size=3))
    return "[" + ",".join(draw(_SPACE) + item + draw(_SPACE) for item in items) + "]"


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    keys = st.one_of(st.sampled_from(['"a"', '"b"', '"\\u0061"', '"a:"', '"a\\u003a"', '""']), _strings())
    members = draw(st.lists(st.tuples(keys, inner), max_size=4))
    return "{" + ",".join(key + draw(_SPACE) + ":" + draw(_SPACE) + value for key, value in members) + "}"


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _spoilt(parts: tuple[bytes, bytes, int]) -> bytes:
    document, junk, at = parts
    return document[:at] + junk + document[at + 1 :]


def faults_of(value: bytes, max_depth: int) -> tuple[set[Reason], Any]:  # noqa: C901 - a list of independent checks
    """Every reason to refuse `value`, found one by one, and the value if there is none."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return {Reason.NOT_UTF8}, None
    faults: set[Reason] = set()

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in members}) != len(members):
            faults.add(Reason.DUPLICATE_KEY)
        for member in members:
            look(member)
        return dict(members)

    def look(node: Any) -> None:
        if isinstance(node, str):
            if "\0" in node:
                faults.add(Reason.NUL_CHARACTER)
            if any("\ud800" <= character <= "\udfff" for character in node):
                faults.add(Reason.LONE_SURROGATE)
        elif isinstance(node, list | tuple):
            for item in node:
                look(item)

    def integer(token: str) -> int:
        if len(token) > 4000 or not -(2**63) <= int(token) < 2**63:
            faults.add(Reason.SCHEMA)
            return 0
        return int(token)

    def number(token: str) -> float:
        if math.isinf(float(token)):
            faults.add(Reason.SCHEMA)
        return float(token)

    def constant(_token: str) -> None:
        faults.add(Reason.NOT_JSON)

    try:
        document = json.loads(
            text, object_pairs_hook=pairs, parse_int=integer, parse_float=number, parse_constant=constant
        )
    except ValueError:
        return faults | {Reason.NOT_JSON}, None
    except RecursionError:
        return {Reason.TOO_DEEP}, None
    look(document)
    if _depth(document) > max_depth:
        faults.add(Reason.TOO_DEEP)
    return faults, document


def _depth(node: Any) -> int:
    if isinstance(node, dict):
        return 1 + max(map(_depth, node.values()), default=0)
    if isinstance(node, list):
        return 1 + max(map(_depth, node), default=0)
    return 0
