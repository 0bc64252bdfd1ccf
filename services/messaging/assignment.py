"""The partitions this dispatcher owns, with their ledgers, and what a rebalance does to them.

Promises (I5): a ledger lives exactly as long as the consumer's fetch position for its partition. On revocation the watermark is
committed and the ledger closed, without draining: work in flight comes back to a closed ledger and settles to nothing, and the next
owner finds the results stored. Only what the producer has is waited for, because nobody can take that back: the next owner must find it
published, or it would be published twice. The listener runs on the client's IO thread while the poll loop waits inside `poll()`, so
ledgers need no lock; a synchronous `commit()` in it would raise (measured on kafka-python 3.0.12), hence the coroutines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import (
    BrokerResponseError,
    CommitFailedError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    IllegalGenerationError,
    NotCoordinatorError,
    RebalanceInProgressError,
    RequestTimedOutError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata, TopicPartition

from services.messaging.ledger import PartitionLedger
from services.messaging.recovery import Recovered
from services.telemetry import get_logger, metrics

if TYPE_CHECKING:
    from kafka import KafkaConsumer

__all__ = ["Assignment", "coordinator_answered", "lost_membership"]

_log = get_logger(__name__)

_LOOK_EVERY_S = 0.01


def lost_membership(error: BaseException) -> bool:
    """Whether a commit failed because the group moves on, which is ordinary, and not because Kafka is away."""
    return isinstance(
        error, CommitFailedError | IllegalGenerationError | RebalanceInProgressError | UnknownMemberIdError
    )


def coordinator_answered(error: BaseException) -> bool:
    """Whether a commit failed because the group's coordinator said so, and not because it could not be asked.

    A join that is under way counts as an answer, although the client then says so by itself.
    """
    if lost_membership(error):
        return True
    nobody = CoordinatorLoadInProgressError | CoordinatorNotAvailableError | NotCoordinatorError | RequestTimedOutError
    return isinstance(error, BrokerResponseError) and not isinstance(error, nobody)


class Assignment(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Ledgers by partition. A new partition has none until `open` gives it one, after recovery.

    `sends_under_way` says whether the producer holds results of these partitions. They are waited for `patience_s` at most: half of
    a session, because no heartbeat is sent meanwhile.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        sends_under_way: Callable[[Collection[TopicPartition]], bool] = lambda _: False,
        patience_s: float = 5.0,
    ) -> None:
        self._consumer = consumer
        self._sends_under_way = sends_under_way
        self._patience_s = patience_s
        self._ledgers: dict[TopicPartition, PartitionLedger] = {}
        self._fresh: set[TopicPartition] = set()
        self.rebalanced = False  #: Set by the listener; the loop clears it after tidying up.
        #: Partitions were given up while results of theirs were on their way: the producer may not live on with them.
        self.left_behind = False

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Wait for sends, commit what is settled, then forget."""
        revoked = set(revoked)
        self._wait_for_sends(revoked)
        offsets = self.watermarks(revoked)
        try:
            if offsets:
                await self._consumer.commit_async(offsets)
        except Exception as error:  # noqa: BLE001 - whatever it is, raising from here would break the rebalance
            # Not committed means delivered again to the next owner, who finds the results stored.
            _log.warning("watermarks not committed on revocation", error_class=type(error).__name__)
        self._forget(revoked, "revoked")

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """New partitions wait for recovery before anything of theirs is taken in."""
        self._fresh |= set(assigned)
        self.rebalanced = True
        metrics.REBALANCES.labels("assigned").inc(len(set(assigned)))
        _log.info("partitions assigned", partitions=_names(assigned))

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Somebody else owns them already: forget without a commit. Or nobody does yet, and recovery is to find what was sent."""
        self._wait_for_sends(set(lost))
        self._forget(set(lost), "lost")

    def _wait_for_sends(self, partitions: set[TopicPartition]) -> None:
        """The poll loop waits for the listener, and nothing else runs on its thread."""
        give_up_at = time.monotonic() + self._patience_s
        while self._sends_under_way(partitions):
            if time.monotonic() > give_up_at:
                self.left_behind = True
                return
            time.sleep(_LOOK_EVERY_S)

    def _forget(self, partitions: set[TopicPartition], event: str) -> None:
        self._fresh -= partitions
        for partition in partitions:
            ledger = self._ledgers.pop(partition, None)
            if ledger is not None:
                ledger.close()
            for gauge in (metrics.WATERMARK_LAG_MESSAGES, metrics.WATERMARK_LAG_SECONDS):
                try:
                    gauge.remove(partition.topic, str(partition.partition))
                except KeyError:
                    continue
        self.rebalanced = True
        metrics.REBALANCES.labels(event).inc(len(partitions))
        _log.info(f"partitions {event}", partitions=_names(partitions))

    # --- the loop's side ---

    @property
    def fresh(self) -> frozenset[TopicPartition]:
        """Partitions that were assigned and are not open yet."""
        return frozenset(self._fresh)

    def open(self, partition: TopicPartition, recovered: Recovered) -> None:
        """Recovery is done: records of this partition may be taken in."""
        if partition in self._fresh:
            self._fresh.discard(partition)
            self._ledgers[partition] = PartitionLedger(
                partition.topic, partition.partition, recovered.next_input, recovered.output_floor, recovered.outputs
            )

    def ledger(self, partition: TopicPartition) -> PartitionLedger | None:
        """The ledger of a partition that is open here."""
        return self._ledgers.get(partition)

    def ledgers(self) -> dict[TopicPartition, PartitionLedger]:
        """All open ones."""
        return dict(self._ledgers)

    def watermarks(
        self, partitions: Collection[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """What may be committed now, of these partitions or of all."""
        offsets = {}
        for partition, ledger in self._ledgers.items():
            if partitions is None or partition in partitions:
                mark = ledger.watermark()
                offsets[partition] = OffsetAndMetadata(mark.offset, mark.metadata(), -1)
        return offsets


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return sorted(f"{p.topic}[{p.partition}]" for p in partitions)
