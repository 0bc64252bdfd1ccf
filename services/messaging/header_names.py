"""Records whose header names are not UTF-8 are readable: kafka-python 3.0 would stop at the first one, for ever.

Brokers do not look at the names, and clients in other languages may write any bytes; kafka-python raises `CorruptRecordError` from
each poll then, so one such record would hold up its partition until somebody moves the group's offset by hand. Here the bytes that
are not ASCII become `?` in the name, as Java's client replaces them; value, key and the headers' contents stay untouched.
"""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

__all__ = ["read_any_header_name"]

_read_strictly = DefaultRecordBatch._read_msg  # noqa: SLF001 - there is no other seam


def read_any_header_name() -> None:
    """Mend the client library in this process. Any number of times."""
    DefaultRecordBatch._read_msg = _read  # noqa: SLF001


def _read(batch: Any, *arguments: Any) -> Any:
    """One record; a batch's position moves only when it could be read, so it can be read again."""
    try:
        return _read_strictly(batch, *arguments)
    except UnicodeDecodeError:
        if not isinstance(batch._buffer, bytearray):  # noqa: SLF001
            batch._buffer = bytearray(batch._buffer)  # noqa: SLF001
        _mend_names(batch._buffer, batch._pos)  # noqa: SLF001
        return _read_strictly(batch, *arguments)


def _mend_names(buffer: bytearray, position: int) -> None:
    """Replace what is not ASCII in the header names of the record at `position`, byte for byte."""
    for _ in range(4):  # length, attributes, timestamp, offset
        _, position = decode_varint(buffer, position)
    for _ in range(2):  # key, value
        size, position = decode_varint(buffer, position)
        position += max(0, size)
    count, position = decode_varint(buffer, position)
    for _ in range(count):
        size, position = decode_varint(buffer, position)
        name = buffer[position : position + size]
        buffer[position : position + size] = bytes(byte if byte < 0x80 else ord("?") for byte in name)
        position += size
        size, position = decode_varint(buffer, position)
        position += max(0, size)
