"""Compressed batches: every codec is read, and none can be made to fill the memory."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest
import snappy
from hypothesis import given
from hypothesis import strategies as st
from kafka import codec
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from services.errors import DeadLetterReason, PermanentError
from services.messaging import compressed_batches, unreadable
from services.messaging.compressed_batches import MOST_BYTES, UNREADABLE_HEADER, unpack, unpack_within_bounds

CODECS = {1: codec.gzip_encode, 2: codec.snappy_encode, 3: codec.lz4_encode, 4: codec.zstd_encode}


def batch(values: list[bytes], compression: int) -> DefaultRecordBatch:
    """As it comes over the wire."""
    builder = DefaultRecordBatchBuilder(2, compression, True, -1, -1, -1, 1 << 30)  # noqa: FBT003 - transactional
    for offset, value in enumerate(values):
        builder.append(offset, 1_700_000_000_000, b"key", value, [])
    return DefaultRecordBatch(bytes(builder.build()))


def read(made: DefaultRecordBatch) -> list[Any]:
    unpack_within_bounds()
    assert made.validate_crc()
    return list(made)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.sampled_from([0, *CODECS]))
def test_every_record_is_read_whatever_its_batch_is_compressed_with(values: list[bytes], compression: int) -> None:
    assert [(r.offset, r.value) for r in read(batch(values, compression))] == list(enumerate(values))


@pytest.mark.parametrize("compression", CODECS)
def test_a_batch_that_unpacks_to_too_much_is_one_record_at_its_end_with_the_bytes_that_came(compression: int) -> None:
    made = batch([b"small", b" " * (MOST_BYTES + 1)], compression)
    wire = bytes(made._buffer)[made._pos :]
    (record,) = read(made)
    assert (record.offset, record.key, record.value) == (1, None, wire)
    error = unreadable(record.headers)
    assert error is not None
    assert error.reason is DeadLetterReason.TOO_LARGE
    assert f"unpacks to more than {MOST_BYTES} bytes" in str(error)
    assert made.next_offset == 2


@pytest.mark.parametrize(("compression", "pack"), CODECS.items())
@pytest.mark.parametrize("spoil", [lambda whole: whole[:-9], lambda _: b"rubbish" * 9], ids=["cut", "rubbish"])
def test_a_damaged_batch_is_an_error_of_its_own(
    compression: int, pack: Callable[[bytes], bytes], spoil: Callable[[bytes], bytes]
) -> None:
    whole = bytes(range(256)) * 40
    with pytest.raises(PermanentError, match="cannot be unpacked") as found:
        unpack(compression, spoil(pack(whole)))
    assert found.value.reason is DeadLetterReason.NOT_JSON


def test_a_machine_without_memory_is_not_the_batchs_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setitem(compressed_batches._CODECS, 1, ("gzip", full))
    with pytest.raises(MemoryError):
        list(batch([b"value" * 100], 1))


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=9))
def test_no_bytes_raise_anything_else(packed: bytes, compression: int) -> None:
    for start in (b"", b"\x82SNAPPY\x00" + bytes(8), b"\x1f\x8b\x08\x00" + bytes(6)):
        try:
            unpack(compression, start + packed)
        except PermanentError:
            continue


def test_parts_that_follow_each_other_are_one_whole() -> None:
    assert unpack(1, gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    large = bytes(range(256)) * 900
    assert unpack(4, codec.zstd_encode(large) + codec.zstd_encode(b"b")) == large + b"b"
    assert unpack(2, snappy.compress(b"plain")) == b"plain"  # librdkafka writes no frame
    assert unpack(2, codec.snappy_encode(bytes(100_000))) == bytes(100_000)  # Java writes blocks


@pytest.mark.parametrize("content", [b"", None, b"\xff", b"internal: x", b"x internal: x"])
def test_the_header_of_a_stand_in_cannot_be_forged(content: bytes | None) -> None:
    assert unreadable([(UNREADABLE_HEADER, content), ("other", b"x")]) is None
