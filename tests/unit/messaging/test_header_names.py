"""Header names that are not UTF-8 do not stop the client."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from services.messaging import header_names


class Name(str):
    """A header's name with these bytes."""

    __slots__ = ("raw",)
    raw: bytes

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def name(raw: bytes) -> Name:
    made = Name()
    made.raw = raw
    return made


def batch(records: list[list[tuple[bytes, bytes | None]]], compression: int = 0) -> DefaultRecordBatch:
    """A batch of records with these headers, as it comes over the wire."""
    builder = DefaultRecordBatchBuilder(2, compression, True, -1, -1, -1, 1 << 20)  # noqa: FBT003 - transactional
    for offset, headers in enumerate(records):
        written = [(name(raw), content) for raw, content in headers]
        builder.append(offset, 1_700_000_000_000, b"key", b"value", written)
    return DefaultRecordBatch(bytes(builder.build()))


def read(made: DefaultRecordBatch) -> list[Any]:
    header_names.read_any_header_name()
    assert made.validate_crc()
    return list(made)


HEADERS = st.lists(st.tuples(st.binary(max_size=6), st.none() | st.binary(max_size=4)), max_size=3)


@given(st.lists(HEADERS, min_size=1, max_size=5), st.sampled_from([0, 4]))
def test_every_record_of_a_batch_is_read_whatever_its_headers_are_called(
    records: list[list[tuple[bytes, bytes | None]]], compression: int
) -> None:
    found = read(batch(records, compression))
    assert [(r.offset, r.key, r.value) for r in found] == [(n, b"key", b"value") for n in range(len(records))]
    for record, headers in zip(found, records, strict=True):
        assert [content for _, content in record.headers] == [content for _, content in headers]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"trace", "trace"), ("é".encode(), "é"), (b"\xff\xfe", "??"), (b"ce_\xe9d", "ce_?d"), (b"", "")],
)
def test_a_name_that_is_text_stays_as_it_is(raw: bytes, shown: str) -> None:
    ((record),) = read(batch([[(raw, b"1")]]))
    assert record.headers == [(shown, b"1")]


def test_without_the_mend_the_client_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DefaultRecordBatch, "_read_msg", header_names._read_strictly)
    with pytest.raises(Exception, match="UnicodeDecodeError"):
        list(batch([[(b"\xff", b"1")]]))
