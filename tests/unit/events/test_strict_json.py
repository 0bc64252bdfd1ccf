"""JSON that two parsers could read differently, or that no column can hold, is refused with its own reason."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import event, example, given

from services.errors import DeadLetterReason as Reason
from services.errors import PermanentError
from services.events.strict_json import loads, loads_exact
from tests.unit.events.json_documents import faults_of, json_texts

REFUSED = [
    pytest.param(b"\xff", Reason.NOT_UTF8, "byte 0", id="no utf-8"),
    pytest.param(b'{"a":"\xed\xa0\x80"}', Reason.NOT_UTF8, "byte 6", id="a surrogate as raw bytes"),
    pytest.param('{"é":"'.encode("latin-1"), Reason.NOT_UTF8, "byte 2", id="latin-1"),
    pytest.param(b"\xef\xbb\xbf{}", Reason.NOT_JSON, "BOM", id="a byte order mark"),
    pytest.param(b'{"a":1', Reason.NOT_JSON, "byte 6 of 6", id="cut off"),
    pytest.param('{"你":1'.encode(), Reason.NOT_JSON, "byte 8 of 8", id="bytes, not characters, are counted"),
    pytest.param(b"{'a':1}", Reason.NOT_JSON, "byte 1", id="python, not JSON"),
    pytest.param(b'{"a":1}{"b":2}', Reason.NOT_JSON, "byte 7", id="two documents"),
    pytest.param(b'{"a":"\x00"}', Reason.NOT_JSON, "byte 6", id="a raw control character"),
    pytest.param(b'{"a":NaN}', Reason.NOT_JSON, "NaN", id="NaN"),
    pytest.param(b'{"a":-Infinity}', Reason.NOT_JSON, "Infinity", id="infinity"),
    pytest.param(b'{"a":1,"b":{"c":1,"c":1}}', Reason.DUPLICATE_KEY, "byte 18", id="a key twice"),
    pytest.param(b'{"a":1,"\\u0061":2}', Reason.DUPLICATE_KEY, "byte 7", id="a key twice, once escaped"),
    pytest.param(b'{"a":"\\u003a","a":1}', Reason.DUPLICATE_KEY, "byte 14", id="an escaped colon does not hide it"),
    pytest.param(b'{"a":"\\u003A","a":1}', Reason.DUPLICATE_KEY, "byte 14", id="nor an upper-case one"),
    pytest.param(b'{"a":"::::","a":1}', Reason.DUPLICATE_KEY, "byte 12", id="nor colons in the text"),
    pytest.param(b'{"a":{"b":{"c":{"d":1}}}}', Reason.TOO_DEEP, "byte 15", id="deeper than allowed"),
    pytest.param(b"[" * 500 + b"]" * 500, Reason.TOO_DEEP, "3 levels", id="much deeper"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, Reason.TOO_DEEP, "3 levels", id="deeper than any parser goes"),
    pytest.param(b'{"a":"\\ud800"}', Reason.LONE_SURROGATE, "byte 5", id="the first half of a pair"),
    pytest.param(b'{"\\uDE00\\uD83D":1}', Reason.LONE_SURROGATE, "byte 1", id="a pair the wrong way round, in a key"),
    pytest.param(b'{"a":"x\\u0000"}', Reason.NUL_CHARACTER, "byte 5", id="a NUL"),
    pytest.param(b'{"\\u0000":1}', Reason.NUL_CHARACTER, "byte 1", id="a NUL in a key"),
    pytest.param(b'{"a":9223372036854775808}', Reason.SCHEMA, "byte 5", id="one more than a bigint"),
    pytest.param(b'{"a":-9223372036854775809}', Reason.SCHEMA, "byte 5", id="one less than a bigint"),
    pytest.param(b'{"a":18446744073709551615}', Reason.SCHEMA, "byte 5", id="an unsigned integer"),
    pytest.param(b"[" + b"9" * 400_000 + b"]", Reason.SCHEMA, "byte 1", id="an integer of 400,000 digits"),
    pytest.param(b'{"a":1e999}', Reason.SCHEMA, "too large", id="a float that would be infinite"),
    pytest.param(b"18446744073709551616", Reason.SCHEMA, "byte 0", id="a number alone"),
]


@pytest.mark.parametrize(("value", "reason", "place"), REFUSED)
def test_a_fault_is_refused_with_its_reason_and_place(value: bytes, reason: Reason, place: str) -> None:
    with pytest.raises(PermanentError) as caught:
        loads(value, max_depth=3)
    assert caught.value.reason is reason
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (b"{}", {}),
        (b' {"a" : [1, -0, 2.5e3, true, null]} \n', {"a": [1, 0, 2500.0, True, None]}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a":"\\u003a\\u003A:"}', {"a": ":::"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":1,"A":1,"a ":1}', {"a": 1, "A": 1, "a ": 1}),
        (b"[9223372036854775807,-9223372036854775808]", [2**63 - 1, -(2**63)]),
        (b"[1e300,0.12345678901234567890123,1e-0000000000000000000001]", [1e300, 0.12345678901234568, 0.1]),
        (b'{"a":"{[1,{\\"a\\":1,\\"a\\":1}"}', {"a": '{[1,{"a":1,"a":1}'}),
        (b"[[[]]]", [[[]]]),
    ],
)
def test_what_only_looks_wrong_is_accepted(value: bytes, parsed: Any) -> None:
    assert loads(value, max_depth=3) == parsed
    assert loads_exact(value, max_depth=3) == parsed


@given(json_texts())
@example(b'{"a":"\\u003a\\u003a","a":"\\u003a"}')
@example(b'{"a":{"b":1},"a":{"b":1}}')
def test_every_document_is_judged_as_the_slow_reference_judges_it(value: bytes) -> None:
    faults, expected = faults_of(value, max_depth=4)
    try:
        parsed = loads(value, max_depth=4)
    except PermanentError as error:
        event(error.reason)
        assert error.reason in faults
    else:
        event("accepted")
        assert not faults
        assert _exact(parsed) == _exact(expected)


@given(json_texts())
def test_both_paths_agree_to_the_letter(value: bytes) -> None:
    assert _outcome(loads, value) == _outcome(loads_exact, value)


@pytest.mark.parametrize(
    "value",
    [
        b'["' + b'\\"' * 400_000 + b'"]',
        b'["' + b"\\n" * 400_000,
        b'"' * 800_001,
        b'["\\u0000",' + b'"",' * 250_000 + b"1]",
        b'["\\\\u0000",' + b"1," * 400_000 + b"1]",
        b"[" + b"1" * 800_000 + b".0]",
        b'{"\\\\u0000":1,' + b",".join(b'"%d":1' % i for i in range(80_000)) + b"}",
        b"[" * 400_000 + b"]" * 400_000,
    ],
    ids=["escaped quotes", "unclosed", "quotes", "strings", "numbers", "digits", "keys", "depth"],
)
def test_no_document_of_a_megabyte_takes_long(value: bytes) -> None:
    start = time.process_time()
    _outcome(loads, value)
    assert time.process_time() - start < 2.0  # about 0.2 s; quadratic work would take minutes


def _outcome(parse: Any, value: bytes) -> object:
    try:
        return _exact(parse(value, max_depth=4))
    except PermanentError as error:
        return error.reason, str(error)


def _exact(document: Any) -> tuple[str, bytes]:
    """A form in which 1, 1.0 and True differ, as do 0.0 and -0.0."""
    return json.dumps(document), orjson.dumps(document)
