"""A decoded CloudEvent: its attributes and its parsed data, and nothing about Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Envelope"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message that is known to be a CloudEvent of Tidegate's dialect; whether its `type` exists is not known yet.

    `id`, `source` and `type` are non-empty and at most 1,024 code points. No string in it, however deep in `data`, holds a
    NUL or half a surrogate pair; every integer fits 64 bits; no object had a key twice.
    """

    id: str
    source: str
    type: str
    #: Whose policy applies. Not checked against the tenants that exist.
    tenant: str
    #: The parsed data object, not yet validated against its model.
    data: dict[str, Any]
    #: RFC 3339, with an offset; `datetime.fromisoformat` can read it.
    time: str | None = None
    subject: str | None = None
    #: W3C trace context. None also when what came was malformed: tracing never costs a message.
    traceparent: str | None = None
