"""Building events on the publishing side: for `tidegate publish`, for load generators and for tests.

It fills in what a publisher left out and checks nothing: the pipeline checks, and a person may want to see how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from services.events.codec import DEFAULT_TENANT, encode
from services.events.types import EventType

__all__ = ["Outgoing", "build", "prepare"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send: structured mode, which needs no headers."""

    #: The event's id; None if someone's whole CloudEvent has none.
    event_id: str | None
    #: The partition key; None if `data` lacks it.
    key: bytes | None
    value: bytes


def build(event: Mapping[str, Any], event_type: EventType, *, source: str, tenant: str = DEFAULT_TENANT) -> bytes:
    """The value of `prepare` alone."""
    return prepare(event, event_type, source=source, tenant=tenant).value


def prepare(event: Mapping[str, Any], event_type: EventType, *, source: str, tenant: str = DEFAULT_TENANT) -> Outgoing:
    """A record for `event`, which is a `data` object, or a whole CloudEvent (it has a `specversion`).

    A `data` object gets a new random id, the present time and the given `source` and `tenant`. A whole CloudEvent is sent
    as it is, so that publishing the same line twice is publishing the same event twice.
    """
    if "specversion" in event:
        data = event.get("data")
        event_id = event.get("id")
        return Outgoing(
            event_id if isinstance(event_id, str) else None,
            event_type.partition_key(data) if isinstance(data, Mapping) else None,
            orjson.dumps(event),
        )
    new_id = str(uuid4())
    value = encode(
        id=new_id,
        source=source,
        type=event_type.type,
        tenant=tenant,
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        subject=None,
        data=orjson.dumps(event),
    )
    return Outgoing(new_id, event_type.partition_key(event), value)
