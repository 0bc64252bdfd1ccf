"""What travels through the dispatcher: one message, and one batch of them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from services.errors import DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.capabilities import Capability
    from services.messaging import PartitionLedger

__all__ = ["Batch", "Item", "Record", "Refusal"]


class Record(Protocol):
    """The part of kafka-python's ConsumerRecord that is used."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True, eq=False)
class Item:
    """One accepted message, with the record it came from: its bytes are needed if it ends as a dead letter."""

    capability: Capability
    ledger: PartitionLedger
    record: Record
    decision_id: str
    content_hash: str
    tenant: str
    event_id: str
    output_key: str | None
    data: dict[str, Any]
    size_bytes: int


@dataclass(slots=True, eq=False)
class Refusal:
    """One message that ends as a dead letter, and why."""

    capability: Capability
    ledger: PartitionLedger
    record: Record
    reason: DeadLetterReason
    detail: str
    event_id: str | None
    size_bytes: int


@dataclass(slots=True, eq=False)
class Batch:
    """Items that run together.

    Identity is the object; `id` changes with every dispatch, so that a late marker of an earlier dispatch cannot be taken for
    this one's.
    """

    capability: Capability
    items: list[Item]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    #: How often it was lost or crashed the server. Twice, and it runs alone.
    strikes: int = 0
    #: Suspected: runs with no other suspected batch beside it.
    alone: bool = False
    #: Healthy time at which it should have begun to run, once that is known.
    due_since_s: float | None = None
    #: The clock's count of outages when it was sent: a batch that lived through one is not to blame for being lost.
    outages_at_send: int = 0
