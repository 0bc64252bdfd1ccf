"""A record on a dead-letter topic: the original, untouched, and why."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.messaging import dead_letter_record, original_headers

HEADERS = st.lists(
    st.tuples(st.text(max_size=8).filter(lambda name: not name.startswith("dlq-")), st.binary(max_size=8)), max_size=5
)


@given(st.none() | st.binary(), st.none() | st.binary(), HEADERS)
def test_key_value_and_headers_are_untouched(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    record = dead_letter_record(key, value, headers, {"reason": "not_json"})
    assert record.value == value
    assert record.key == (b"" if key is None and value is None else key)  # the client refuses a record with neither
    assert original_headers(record.headers) == headers
    assert record.headers[-1] == ("dlq-reason", b"not_json")


def test_a_fact_may_hold_anything_and_stays_short() -> None:
    record = dead_letter_record(None, b"", [], {"error": "\ud800" + "é" * 2000})
    assert len(record.headers[0][1]) == 1000
    assert record.headers[0][1].startswith(b"\\ud800")


def test_a_header_without_a_value_becomes_an_empty_one() -> None:
    assert dead_letter_record(None, b"", [("trace", None)], {}).headers == [("trace", b"")]
