"""Which batch is where, when it counts as lost, and what becomes of it then. Pure: no Kafka, no Celery, no clock of its own.

A batch waits in `ready`, is `sent`, comes back finished, or is lost. A *lost* batch is one that should be running and that
no living worker says it runs: it is the oldest of its queue, or a younger one has finished already, and since then
`deadline_s` of healthy time have passed. So a long queue is never mistaken for a loss, and a lost batch is noticed in seconds.

A lost or crashed batch gets a strike, unless an outage explains it (I6). Struck twice, it is *suspected*: it is cut into parts
that run alone, one at a time, until the one item that kills the process is found, with `MAX_STRIKES_ALONE` proofs against it.
Promises: every item that was added comes back exactly once, finished or given up; only items that ran alone are given up.
"""

from __future__ import annotations

import heapq
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Collection

from consumers.dispatcher.items import Batch, Item

__all__ = ["MAX_STRIKES", "MAX_STRIKES_ALONE", "Flight"]

#: Lost pods are commoner than poison: twice whole, then suspected.
MAX_STRIKES = 2
#: Proofs against a single item. Random kills every few seconds hit the same 50 ms run three times in a row never.
MAX_STRIKES_ALONE = 3
#: What a joined batch holds at most: the review model takes no more texts in one request. Its model time is four times a single
#: one's, and its transport costs as much as one's.
_JOINED_ITEMS = 256
_JOINED_BYTES = 131_072
#: Parts that a suspected batch is cut into: 64 → 8 → 1 takes two rounds, where halving takes six (24 s, measured 2026-11).
_PARTS = 8


class Flight:
    """All batches between the batcher and settlement. Not thread-safe: the loop's."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._ready: deque[Batch] = deque()
        self._delayed: list[tuple[float, int, Batch]] = []
        self._order = itertools.count()
        self._sent: dict[str, dict[str, Batch]] = {}  # capability → batch id → batch, in the order of dispatch
        self._suspects: deque[Batch] = deque()
        self._suspect_out: Batch | None = None

    # --- towards the workers ---

    def add(self, batch: Batch) -> None:
        """A new batch, to be sent."""
        self._ready.append(batch)

    def next_to_send(self, now_s: float, *, join: int = 1) -> Batch | None:
        """Take the next batch to send, or None. Whoever takes it calls `sent` or `put_back`.

        Up to `join` batches that were never sent become one: a Celery task costs 1.3 ms on its way however much it carries.
        """
        if self._suspects and self._suspect_out is None:
            self._suspect_out = self._suspects.popleft()
            return self._suspect_out
        if self._delayed and self._delayed[0][0] <= now_s:
            return heapq.heappop(self._delayed)[2]
        if not self._ready:
            return None
        batch = self._ready.popleft()
        for _ in range(join - 1):
            if not self._ready or not _may_join(batch, self._ready[0]):
                break
            batch.items = [*batch.items, *self._ready.popleft().items]
        return batch

    def put_back(self, batch: Batch) -> None:
        """It could not be sent; it is the next one again."""
        if batch is self._suspect_out:
            self._suspect_out = None
            self._suspects.appendleft(batch)
        else:
            self._ready.appendleft(batch)

    def sent(self, batch: Batch, outages: int) -> None:
        """It is with the broker."""
        batch.due_since_s = None
        batch.outages_at_send = outages
        self._sent.setdefault(batch.capability.name, {})[batch.id] = batch

    # --- back from the workers ---

    def finished(self, batch_id: str, healthy_s: float) -> Batch | None:
        """A marker was seen; returns the batch, or None when nobody waits for it. Older batches are overtaken now."""
        for queue in self._sent.values():
            if batch_id in queue:
                for other_id, other in queue.items():
                    if other_id == batch_id:
                        break
                    if other.due_since_s is None:
                        other.due_since_s = healthy_s
                return self._take(queue.pop(batch_id))
        return None

    def peek(self, batch_id: str) -> Batch | None:
        """A sent batch, left where it is."""
        return next((queue[batch_id] for queue in self._sent.values() if batch_id in queue), None)

    def again(self, batch: Batch, due_s: float) -> None:
        """Send it again at `due_s`, without blame: a dependency was away."""
        batch.id = str(uuid.uuid4())
        if batch.alone:
            self._suspects.appendleft(batch)  # its turn comes again at once; the worker itself waits for the dependency
        else:
            heapq.heappush(self._delayed, (due_s, next(self._order), batch))

    def strike(self, batch: Batch, due_s: float) -> list[Item]:
        """It crashed the server, or was lost for no reason of the infrastructure's. Returns the items to give up."""
        batch.strikes += 1
        if not batch.alone and batch.strikes < MAX_STRIKES:
            self.again(batch, due_s)
            return []
        if len(batch.items) > 1:
            size = -(-len(batch.items) // _PARTS)
            for start in range(0, len(batch.items), size):
                self._suspects.append(Batch(batch.capability, batch.items[start : start + size], alone=True))
            return []
        if batch.alone and batch.strikes >= MAX_STRIKES_ALONE:
            return batch.items
        if not batch.alone:
            batch.alone, batch.strikes = True, 0
        batch.id = str(uuid.uuid4())
        self._suspects.append(batch)
        return []

    def lost(self, healthy_s: float, running: Collection[str]) -> list[Batch]:
        """Take out the batches that count as lost; the caller says `again` or `strike` for each."""
        gone: list[Batch] = []
        for queue in self._sent.values():
            for place, (batch_id, batch) in enumerate(queue.items()):
                if batch_id in running:
                    batch.due_since_s = healthy_s
                elif batch.due_since_s is None:
                    if place == 0:
                        batch.due_since_s = healthy_s
                elif healthy_s - batch.due_since_s > self._deadline_s:
                    gone.append(batch)
        for batch in gone:
            del self._sent[batch.capability.name][batch.id]
            self._take(batch)
        return gone

    def lost_with_broker(self, running: Collection[str]) -> list[Batch]:
        """Take out what was sent and no worker says it runs: the broker lost it. The caller says `again` for each.

        Workers may hold some of them all the same, fetched or begun since their last sign of life: those are done twice, to one effect.
        """
        gone = [batch for queue in self._sent.values() for batch in queue.values() if batch.id not in running]
        for batch in gone:
            del self._sent[batch.capability.name][batch.id]
            self._take(batch)
        return gone

    # --- bookkeeping ---

    def sent_ids(self) -> list[str]:
        """Ids of all batches that workers may finish."""
        return [batch_id for queue in self._sent.values() for batch_id in queue]

    def discard(self, gone: Callable[[Item], bool]) -> list[Item]:
        """Forget the items for which `gone` holds, except those that are sent: they come back and settle to nothing."""
        removed: list[Item] = []
        waiting = [*self._ready, *(entry[2] for entry in self._delayed), *self._suspects]
        for batch in waiting:
            removed += [i for i in batch.items if gone(i)]
            batch.items = [i for i in batch.items if not gone(i)]
        self._ready = deque(b for b in self._ready if b.items)
        self._suspects = deque(b for b in self._suspects if b.items)
        self._delayed = [entry for entry in self._delayed if entry[2].items]
        heapq.heapify(self._delayed)
        return removed

    @property
    def waiting(self) -> int:
        """Batches that wait to be sent."""
        return len(self._ready) + len(self._delayed) + len(self._suspects)

    @property
    def suspects(self) -> int:
        """Suspected batches that wait for their turn alone."""
        return len(self._suspects)

    @property
    def out(self) -> int:
        """Batches that are sent."""
        return sum(len(queue) for queue in self._sent.values())

    def _take(self, batch: Batch) -> Batch:
        if batch is self._suspect_out:
            self._suspect_out = None
        return batch


def _may_join(batch: Batch, other: Batch) -> bool:
    """Whether they are alike, blameless (what was struck is to be found among few), and small enough together."""
    return (
        batch.capability is other.capability
        and not batch.strikes
        and not other.strikes
        and len(batch.items) + len(other.items) <= _JOINED_ITEMS
        and sum(item.size_bytes for item in batch.items) + sum(item.size_bytes for item in other.items) <= _JOINED_BYTES
    )
