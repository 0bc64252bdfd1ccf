"""What the dispatcher hands a worker: one batch, as plain lists and values that orjson writes.

The broker's serializer is orjson, so a batch is encoded once and decoded once; Celery's own JSON would do both twice, with every
character outside ASCII as six bytes. Promises: `WorkOrder.load` of what arrives when `order.dump()` is sent equals `order`. The
record's original bytes stay with the dispatcher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["OrderedItem", "WorkOrder"]


class OrderedItem(NamedTuple):
    """One event of a batch. A tuple, because it travels as a JSON array."""

    decision_id: str
    content_hash: str  # hexadecimal
    tenant: str
    event_id: str
    input_partition: int
    input_offset: int
    received_at: float  # Unix time in seconds, of the Kafka record
    output_key: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """One batch. A suspected one (`alone`) is announced in Postgres before it runs, so that a crash is traced to it."""

    batch_id: str
    capability: str
    alone: bool
    items: Sequence[OrderedItem]

    def dump(self) -> list[Any]:
        """As what a task's argument may be."""
        return [self.batch_id, self.capability, self.alone, [tuple(item) for item in self.items]]

    @classmethod
    def load(cls, sent: list[Any]) -> WorkOrder:
        """From what `dump` gave, as it arrives."""
        batch_id, capability, alone, items = sent
        return cls(batch_id, capability, alone, [OrderedItem(*item) for item in items])
