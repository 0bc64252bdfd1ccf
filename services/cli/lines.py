"""From one line of a file to a record to send, or the reason why the pipeline would refuse it anyway. Pure.

The checks are the pipeline's own: strict JSON, the envelope, the type of the topic, the schema of the data. What depends on the
deployment (its tenants, its length limit for texts) is left to the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from services.errors import DeadLetterReason, PermanentError
from services.events import EventType, Outgoing, decode, prepare_line
from services.events.strict_json import loads

__all__ = ["DEFAULT_SOURCE", "LINE_LIMIT", "bounded_lines", "check_record", "read_line", "read_raw_line"]

#: The CloudEvents source of events made from `data` objects.
DEFAULT_SOURCE = "tidegate-publish"
#: Bytes. No record that Kafka takes is larger; a file without line ends must not fill the memory.
LINE_LIMIT = 2 * 1024 * 1024

_MAX_DEPTH = 32
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def bounded_lines(stream: BinaryIO, limit: int = LINE_LIMIT) -> Iterator[bytes | None]:
    """The lines of `stream` with their line ends; None in place of a line longer than `limit`, which is skipped."""
    while line := stream.readline(limit + 1):
        if len(line) <= limit or line.endswith(b"\n"):
            yield line
            continue
        while (rest := stream.readline(limit)) and not rest.endswith(b"\n"):
            pass
        yield None


def read_line(
    line: bytes, event_type: EventType, *, source: str, tenant: str, key: str | None, max_bytes: int
) -> Outgoing | None:
    """A record for `line`: a `data` object (which gets a new random id) or a whole CloudEvent. None for an empty line.

    Raises:
        PermanentError: the pipeline would dead-letter it, with this reason.
    """
    line = line.removeprefix(_BYTE_ORDER_MARK).strip()
    if not line:
        return None
    if len(line) > max_bytes:
        raise PermanentError(DeadLetterReason.TOO_LARGE, f"the line has {len(line)} bytes; the limit is {max_bytes}")
    loads(line, max_depth=_MAX_DEPTH)  # names the byte of the line, which inside the envelope is another one
    record = prepare_line(line, event_type, source=source, tenant=tenant)
    own_key = check_record(record.value, [], event_type, max_bytes=max_bytes)  # also of data that is in base64
    return Outgoing(record.event_id, own_key if key is None else key.encode(), record.value)


def read_raw_line(line: bytes, event_type: EventType, *, key: str | None) -> Outgoing:
    """A record of exactly the line's bytes without its line end. The id and key are its own, if it is a CloudEvent."""
    line = line.removesuffix(b"\n")
    try:
        envelope = decode(line, [], max_bytes=len(line))
    except PermanentError:
        return Outgoing(None, None if key is None else key.encode(), line)
    return Outgoing(envelope.id, event_type.partition_key(envelope.data) if key is None else key.encode(), line)


def check_record(
    value: bytes | None, headers: list[tuple[str, bytes]], event_type: EventType, *, max_bytes: int
) -> bytes | None:
    """Raise the `PermanentError` that the pipeline would find in this record; otherwise return its partition key."""
    envelope = decode(value, headers, max_bytes=max_bytes)
    if envelope.type != event_type.type:
        raise PermanentError(DeadLetterReason.UNKNOWN_TYPE, f"type is not {event_type.type}")
    event_type.validate(envelope.data)
    return event_type.partition_key(envelope.data)
