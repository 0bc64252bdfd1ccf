"""Which offsets of a partition are done, and how far its commit may go. Pure: no Kafka, no clock.

The watermark is the end of the settled prefix (I1). Beside it the ledger keeps the *output floor*: every result of a record at
or above the watermark that is already on the output partition is at or above that output offset. It is committed as metadata,
so that whoever takes the partition over reads the output from there and does not publish a result a second time. What a
predecessor published counts too, delivered here again or not: else the second owner that is killed in a row would commit a floor
above it, and the third would publish it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from services.errors import TidegateError

__all__ = ["PartitionLedger", "UnknownOffset", "Watermark"]

_METADATA_PREFIX = "out="
_NOTHING: Mapping[int, int] = MappingProxyType({})


class UnknownOffset(TidegateError):
    """This offset was never added to the ledger, or is settled already."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """What may be committed: the next input offset to read, and the output floor."""

    offset: int
    output_floor: int

    def metadata(self) -> str:
        """The output floor as Kafka's commit metadata."""
        return f"{_METADATA_PREFIX}{self.output_floor}"

    @staticmethod
    def floor_from(metadata: str | None) -> int | None:
        """The output floor in some commit's metadata, or None when there is none to read."""
        if metadata and metadata.startswith(_METADATA_PREFIX) and metadata[len(_METADATA_PREFIX) :].isdigit():
            return int(metadata[len(_METADATA_PREFIX) :])
        return None


class PartitionLedger:
    """Offsets of one partition in delivery order; the watermark is the end of the settled prefix.

    Offsets need not be dense (compaction and transaction markers leave gaps). Lives exactly as long as the consumer's fetch
    position for the partition (I5): `close()` it on revocation, after which settling is a silent no-op, because batches in
    flight come back late and must neither fail nor count. Not thread-safe: touched by the poll loop, and by the rebalance
    listener while the poll loop waits.
    """

    __slots__ = (
        "_closed", "_inherited", "_next_output", "_pending", "_settled", "_unsettled", "_watermark", "partition", "topic"
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        partition: int,
        next_offset: int,
        output_floor: int,
        inherited: Mapping[int, int] = _NOTHING,
    ) -> None:
        """Records come from `next_offset` on; what is published of them from now on comes at or after `output_floor`.

        `inherited` is what a predecessor published of them: input offset → output offset.
        """
        self.topic = topic
        self.partition = partition
        self._pending: deque[tuple[int, int]] = deque()  # (offset, record timestamp in ms)
        self._unsettled: set[int] = set()
        self._settled: dict[int, int] = {}  # offset → its output offset, or -1 when it published nothing
        self._inherited = dict(inherited)
        self._next_output = output_floor
        self._watermark = next_offset
        self._closed = False

    def add(self, offset: int, timestamp_ms: int) -> None:
        """A record was delivered. Offsets come in increasing order."""
        self._pending.append((offset, timestamp_ms))
        self._unsettled.add(offset)

    def settle(self, offset: int, output_offset: int = -1) -> None:
        """Mark `offset` as done: its effect is durable and its event acknowledged at `output_offset`.

        Raises:
            UnknownOffset: it is not pending here (and the ledger is not closed).
        """
        if self._closed:
            return
        if offset not in self._unsettled:
            raise UnknownOffset(f"{self.topic}[{self.partition}] offset {offset} is not pending")
        self._unsettled.discard(offset)
        self._settled[offset] = output_offset
        if output_offset >= self._next_output:
            self._next_output = output_offset + 1

    def watermark(self) -> Watermark:
        """What may be committed now. Harmless to commit again."""
        pending, settled = self._pending, self._settled
        while pending and pending[0][0] in settled:
            offset = pending.popleft()[0]
            del settled[offset]
            self._watermark = offset + 1
        if self._inherited:
            self._inherited = {o: output for o, output in self._inherited.items() if o >= self._watermark}
        published_above = [output for output in settled.values() if output >= 0]
        return Watermark(self._watermark, min([self._next_output, *published_above, *self._inherited.values()]))

    def close(self) -> None:
        """The partition is somebody else's now."""
        self._closed = True
        self._pending.clear()
        self._unsettled.clear()
        self._settled.clear()
        self._inherited.clear()

    @property
    def closed(self) -> bool:
        """Whether the partition was revoked or lost."""
        return self._closed

    @property
    def pending(self) -> int:
        """Offsets at or above the watermark that were delivered."""
        return len(self._pending)

    @property
    def oldest_timestamp_ms(self) -> int | None:
        """Record timestamp of the lowest unsettled offset, as of the last `watermark()`."""
        return self._pending[0][1] if self._pending else None
