"""From a finished batch to published events: what each item became, read from the stored rows (I3).

Promises: an event is rendered from the stored row only, so every copy of it is the same bytes; it is published by the record
that made the row (its coordinates are stored), so a second copy of an input event settles without a second output event; the
same id with other content is a dead letter, whichever of the two came first. Nothing settles here: see `loop`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consumers.dispatcher.items import Batch, Item, Refusal
from services.errors import DeadLetterReason
from services.events import encode, topic_name
from services.messaging import Outgoing, input_header, output_partition

if TYPE_CHECKING:
    from services.storage import FinishedBatch, StoredResult

__all__ = ["Sorted", "refuse", "render", "sort_batch"]


@dataclass(slots=True)
class Sorted:
    """What became of the items of one batch."""

    to_publish: list[tuple[Item, StoredResult]] = field(default_factory=list)
    duplicates: list[Item] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    #: Neither row nor reject: their worker stopped between two copies of an event, or the marker is another run's.
    missing: list[Item] = field(default_factory=list)
    #: Their partition is somebody else's by now.
    gone: list[Item] = field(default_factory=list)


def sort_batch(batch: Batch, finished: FinishedBatch, rows: dict[str, StoredResult]) -> Sorted:
    """Pure: items, marker and rows in; what to do with each out."""
    rejects = {place: (reason, message) for place, reason, message in finished.rejects}
    result = Sorted()
    for place, item in enumerate(batch.items):
        row = rows.get(item.decision_id)
        if item.ledger.closed:
            result.gone.append(item)
        elif place in rejects and (row is None or row.content_hash != item.content_hash):
            # With a row of the same content, an earlier run of this batch succeeded: a stored result outranks a reject.
            reason, message = rejects[place]
            result.refusals.append(refuse(item, DeadLetterReason(reason), message))
        elif row is None:
            result.missing.append(item)
        elif row.content_hash != item.content_hash:
            message = "an event with this id was decided before, with other content"
            result.refusals.append(refuse(item, DeadLetterReason.ID_REUSE, message))
        elif (row.input_partition, row.input_offset) != (item.record.partition, item.record.offset):
            result.duplicates.append(item)
        else:
            result.to_publish.append((item, row))
    return result


def refuse(item: Item, reason: DeadLetterReason, detail: str) -> Refusal:
    """An accepted item ends as a dead letter after all."""
    return Refusal(item.capability, item.ledger, item.record, reason, detail, item.event_id, item.size_bytes)


def render(item: Item, row: StoredResult, *, prefix: str, partitions: int) -> Outgoing[Item]:
    """The output event of a stored row, addressed to the output partition that belongs to the input's."""
    output = item.capability.output
    value = encode(
        id=row.decision_id,
        source=f"tidegate/{item.capability.name}",
        type=output.type,
        tenant=row.tenant,
        time=row.decided_at,
        subject=None,
        data=row.data.encode(),
    )
    return Outgoing(
        item,
        topic_name(prefix, output.topic),
        output_partition(item.record.partition, partitions),
        row.output_key.encode("utf-8", "replace") if row.output_key is not None else item.record.key,
        value,
        [input_header(row.input_partition, row.input_offset)],
    )
