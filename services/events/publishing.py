"""Building events on the publishing side: for `tidegate publish`, for load generators and for tests.

It fills in what a publisher left out and checks nothing: the pipeline checks, and a person may want to see how.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from services.events.codec import DEFAULT_TENANT, encode
from services.events.types import EventType

__all__ = ["Outgoing", "build", "prepare", "prepare_line"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send: structured mode, which needs no headers."""

    #: The event's id; None if what was given is a CloudEvent without one, or no event at all.
    event_id: str | None
    #: The partition key; None if the data lacks it.
    key: bytes | None
    value: bytes


def build(event: Mapping[str, Any], event_type: EventType, *, source: str, tenant: str = DEFAULT_TENANT) -> bytes:
    """The value of `prepare` alone."""
    return prepare(event, event_type, source=source, tenant=tenant).value


def prepare(event: Mapping[str, Any], event_type: EventType, *, source: str, tenant: str = DEFAULT_TENANT) -> Outgoing:
    """A record for `event`, which is a `data` object, or a whole CloudEvent (it has a `specversion`).

    A `data` object gets a new random id, the present time and the given `source` and `tenant`. A whole CloudEvent is sent
    as it is, so that publishing the same event twice is publishing one event twice.
    """
    try:
        written = orjson.dumps(event)
    except TypeError:  # half a surrogate pair, an integer beyond 64 bits: wrong, but a person may want to send it
        written = json.dumps(event).encode("ascii")
    return _outgoing(event, written, event_type, source, tenant)


def prepare_line(line: bytes, event_type: EventType, *, source: str, tenant: str = DEFAULT_TENANT) -> Outgoing:
    """A record for one line of a file, as `prepare`, with the line's own bytes in it: nothing in it is mended.

    A line that is no JSON object is sent as it is; it will be found in the dead-letter topic.
    """
    line = line.strip()
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        return Outgoing(None, None, line)
    return _outgoing(event, line, event_type, source, tenant)


def _outgoing(event: Mapping[str, Any], written: bytes, event_type: EventType, source: str, tenant: str) -> Outgoing:
    if "specversion" in event:
        data, event_id = event.get("data"), event.get("id")
        key = event_type.partition_key(data) if isinstance(data, Mapping) else None
        return Outgoing(event_id if isinstance(event_id, str) else None, key, written)
    new_id = str(uuid4())
    value = encode(
        id=new_id,
        source=source,
        type=event_type.type,
        tenant=tenant,
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        subject=None,
        data=written,
    )
    return Outgoing(new_id, event_type.partition_key(event), value)
