"""The wire contract: what a message is, what it may hold, and what it is called."""

from services.events.codec import DEFAULT_TENANT, decode, encode
from services.events.envelope import Envelope
from services.events.identity import content_hash, decision_id
from services.events.publishing import Outgoing, build, prepare, prepare_line
from services.events.topics import topic_name
from services.events.types import EventType, WireModel

__all__ = [
    "DEFAULT_TENANT",
    "Envelope",
    "EventType",
    "Outgoing",
    "WireModel",
    "build",
    "content_hash",
    "decision_id",
    "decode",
    "encode",
    "prepare",
    "prepare_line",
    "topic_name",
]
