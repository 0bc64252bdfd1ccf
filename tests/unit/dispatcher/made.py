"""Items, batches and records for the dispatcher's pure parts, without Kafka."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from consumers.dispatcher.items import Batch, Item
from services.messaging import PartitionLedger
from services.storage import StoredResult
from tests.toy.capability import TOY

__all__ = ["MadeRecord", "batch_of", "item_at", "made_ledger", "row_of"]

_ids = itertools.count()


@dataclass
class MadeRecord:
    """A Kafka record."""

    offset: int
    partition: int = 0
    value: bytes | None = b"{}"
    key: bytes | None = b"author"
    headers: Sequence[tuple[str, bytes]] = field(default_factory=list)
    topic: str = "toy.requested"
    timestamp: int = 1_700_000_000_000


def made_ledger(partition: int = 0) -> PartitionLedger:
    """An open ledger that begins at offset 0."""
    return PartitionLedger("toy.requested", partition, 0, 0)


def item_at(offset: int, *, ledger: PartitionLedger | None = None, size: int = 10, **changes: Any) -> Item:
    """An accepted message; `changes` are fields of `Item`."""
    number = next(_ids)
    fields: dict[str, Any] = {
        "capability": TOY,
        "ledger": ledger or made_ledger(),
        "record": MadeRecord(offset),
        "decision_id": f"00000000-0000-5000-8000-{number:012d}",
        "content_hash": "aa",
        "tenant": "default",
        "event_id": f"event-{number}",
        "output_key": "author",
        "data": {"toy_id": "1", "text": "hello"},
        "size_bytes": size,
        **changes,
    }
    return Item(**fields)


def batch_of(count: int, **changes: Any) -> Batch:
    """A batch of so many messages of one partition."""
    ledger = made_ledger()
    items = [item_at(offset, ledger=ledger) for offset in range(count)]
    return Batch(**{"capability": TOY, "items": items, **changes})


def row_of(item: Item, **changes: Any) -> StoredResult:
    """The row that `item` made."""
    fields: dict[str, Any] = {
        "decision_id": item.decision_id,
        "content_hash": item.content_hash,
        "tenant": item.tenant,
        "input_partition": item.record.partition,
        "input_offset": item.record.offset,
        "decided_at": "2026-11-24T12:00:00.000Z",
        "output_key": item.output_key,
        "data": '{"toy_id": "1", "length": 5}',
        **changes,
    }
    return StoredResult(**fields)
