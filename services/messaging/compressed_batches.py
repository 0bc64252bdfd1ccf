"""Compressed record batches unpack within bounds: one that does not is a single record that says so, and not the end of the consumer.

A megabyte on the wire may unpack to a gigabyte, and kafka-python 3.0 unpacks whatever comes, in several copies: the process dies of
it, and so does each successor, at the same offset. Here a batch unpacks to at most `MOST_BYTES`, far above what any producer's buffers
hold. Promises: of a batch that is larger, or cannot be unpacked at all, one record is read, at the batch's last offset, whose value
is the batch's records as they came over the wire and whose header `UNREADABLE_HEADER` says what is wrong; the flow goes on behind it.
"""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import lz4.frame
import snappy
import zstandard
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import encode_varint

from services.errors import DeadLetterReason, PermanentError

__all__ = ["MOST_BYTES", "UNREADABLE_HEADER", "unpack", "unpack_within_bounds", "unreadable"]

#: Anybody may send a record with that header, and it means nothing without this.
_TOKEN = secrets.token_hex(16)

#: Of one batch. Clients fill batches up to a megabyte at most by default, counted before they compress them.
MOST_BYTES = 32 * 1024 * 1024

#: The header of a record that stands for a batch; its content is this process's token, the reason and the problem in words.
UNREADABLE_HEADER = "tidegate-unreadable-batch"

#: Java's snappy writes blocks behind this mark and eight bytes of versions.
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_ZSTD_PIECE = 1024


class _TooLarge(Exception):
    """Of what is unpacked, not of what came."""


def unpack_within_bounds() -> None:
    """Mend the client library in this process. Any number of times."""
    DefaultRecordBatch._maybe_uncompress = _unpack_batch  # noqa: SLF001 - there is no other seam


def unreadable(headers: Iterable[tuple[str, bytes | None]]) -> PermanentError | None:
    """Why the batch that this record stands for could not be read; None for any other record."""
    for name, content in headers:
        if name == UNREADABLE_HEADER:
            token, _, said = (content or b"").decode("utf-8", "replace").partition(" ")
            if token == _TOKEN:
                reason, _, problem = said.partition(": ")
                return PermanentError(DeadLetterReason(reason), problem)
    return None


def unpack(codec: int, packed: bytes, most: int = MOST_BYTES) -> bytes:
    """What `packed` holds.

    Raises:
        PermanentError: it holds more than `most` bytes, is damaged, or the codec has no such number; reason and message say which.
    """
    name, unpacker = _CODECS.get(codec, ("", None))
    if unpacker is None:
        raise PermanentError(DeadLetterReason.NOT_JSON, f"the batch is compressed in a way that is not known ({codec})")
    batch = f"the batch ({name}, {len(packed)} bytes)"
    try:
        return unpacker(packed, most)
    except MemoryError:
        raise  # of this process, and not of the batch: another one reads it again
    except _TooLarge:
        raise PermanentError(DeadLetterReason.TOO_LARGE, f"{batch} unpacks to more than {most} bytes") from None
    except Exception as error:
        # Each library has its own errors for what is damaged.
        raise PermanentError(
            DeadLetterReason.NOT_JSON, f"{batch} cannot be unpacked: {type(error).__name__}"
        ) from error


def _unpack_batch(batch: Any) -> None:
    """In place of `DefaultRecordBatch._maybe_uncompress`."""
    if batch._decompressed:  # noqa: SLF001
        return
    if batch.compression_type:
        packed = bytes(memoryview(batch._buffer)[batch._pos :])  # noqa: SLF001
        try:
            batch._buffer = bytearray(unpack(batch.compression_type, packed))  # noqa: SLF001
        except PermanentError as error:
            problem = f"{_TOKEN} {error.reason.value}: {error}"
            batch._buffer = _stand_in(packed, problem, batch.last_offset_delta)  # noqa: SLF001
            batch._num_records = 1  # noqa: SLF001
        batch._pos = 0  # noqa: SLF001
    batch._decompressed = True  # noqa: SLF001


def _stand_in(packed: bytes, problem: str, offset_delta: int) -> bytearray:
    """One record as format 2 writes it: no key, `packed` as its value, one header."""
    record = bytearray([0])  # attributes
    name, content = UNREADABLE_HEADER.encode(), problem.encode()
    for part in (0, offset_delta, -1, packed, 1, name, content):  # time, offset, key, value, number of headers, header
        encode_varint(part if isinstance(part, int) else len(part), record.append)
        if isinstance(part, bytes):
            record += part
    whole = bytearray()
    encode_varint(len(record), whole.append)
    return whole + record


def _gunzip(packed: bytes, most: int) -> bytes:
    found = bytearray()
    while packed:  # gzip members may follow each other
        stream = zlib.decompressobj(wbits=31)
        found += stream.decompress(packed, most + 1 - len(found))
        if len(found) > most:
            raise _TooLarge
        if not stream.eof:
            raise EOFError
        packed = stream.unused_data
    return bytes(found)


def _unlz4(packed: bytes, most: int) -> bytes:
    found = bytearray()
    while packed:
        stream = lz4.frame.LZ4FrameDecompressor()
        found += stream.decompress(packed, max_length=most + 1 - len(found))
        if len(found) > most:
            raise _TooLarge
        if not stream.eof:
            raise EOFError
        packed = stream.unused_data or b""
    return bytes(found)


def _unzstd(packed: bytes, most: int) -> bytes:
    found = bytearray()
    while packed:
        # In small pieces: this reader says whether the frame is whole, and knows no bound; four bytes may stand for 128 kB.
        frame = zstandard.ZstdDecompressor().decompressobj()
        position = 0
        while position < len(packed) and not frame.eof:
            found += frame.decompress(packed[position : position + _ZSTD_PIECE])
            position += _ZSTD_PIECE
            if len(found) > most:
                raise _TooLarge
        if not frame.eof:
            raise EOFError
        packed = frame.unused_data + packed[position:]
    return bytes(found)


def _unsnappy(packed: bytes, most: int) -> bytes:
    if not packed.startswith(_XERIAL):
        return _unsnappy_block(packed, most)
    found, position = bytearray(), _XERIAL_HEADER_BYTES
    while position < len(packed):
        (size,) = struct.unpack_from("!i", packed, position)
        position += 4
        if size < 0:
            raise EOFError
        found += _unsnappy_block(packed[position : position + size], most - len(found))
        position += size
    return bytes(found)


def _unsnappy_block(block: bytes, most: int) -> bytes:
    size = shift = 0
    for byte in block[:5]:  # its own header: the length of what it holds, seven bits a byte
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > most:
        raise _TooLarge
    found: bytes = snappy.decompress(block)
    return found


#: By Kafka's numbers.
_CODECS: dict[int, tuple[str, Callable[[bytes, int], bytes]]] = {
    1: ("gzip", _gunzip),
    2: ("snappy", _unsnappy),
    3: ("lz4", _unlz4),
    4: ("zstd", _unzstd),
}
