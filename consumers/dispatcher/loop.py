"""The dispatcher's loop: one thread, every step non-blocking, at most some tens of milliseconds a round.

The invariants it keeps (docs/decisions/0002): I1 and I2 through the ledgers, which are settled in `_settle_*` only, after row and
acknowledgement; I4 by pausing at the in-flight limits and resuming at half; I6 by the healthy clock. A dependency that is away
makes its step raise `TransientError`: the step is skipped, the circuit of that dependency shows as open, and the next round
tries again. It promises nothing about how long that takes.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consumers.dispatcher.batcher import Batcher
from consumers.dispatcher.circuits import WORKERS, Circuits
from consumers.dispatcher.committer import Committer
from consumers.dispatcher.dead_letter_desk import DeadLetterDesk
from consumers.dispatcher.dead_letter_limit import DeadLetterLimit
from consumers.dispatcher.flight import Flight
from consumers.dispatcher.healthy_clock import HealthyClock
from consumers.dispatcher.in_flight import InFlight
from consumers.dispatcher.intake import read_record
from consumers.dispatcher.items import Batch, Item, Refusal
from consumers.dispatcher.lag import report_lag
from consumers.dispatcher.membership import Membership
from consumers.dispatcher.publisher import refuse, render, sort_batch
from consumers.work_order import OrderedItem, WorkOrder
from services.errors import DeadLetterReason, TransientError
from services.events import topic_name
from services.messaging import Assignment, KafkaError, Sender, TopicPartition, close_producer, output_partition, recover
from services.telemetry import get_logger, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from kafka import KafkaConsumer, KafkaProducer

    from services.capabilities import Capability
    from services.settings import Settings
    from services.storage import BatchBoard, DeadLetterStore, FinishedBatch, ResultStore
    from services.telemetry import Health

__all__ = ["Dispatcher", "Ports"]

_log = get_logger(__name__)

_IDLE_POLL_MS = 100
#: Asking Postgres for finished batches costs 0.3 ms. After a batch was sent or found the looks come quickly, and each look in
#: vain makes the next a little later: latency is lost in proportion to what was waited anyway, and an outage costs no CPU.
_FIRST_LOOK_S = 0.004
_LAST_LOOK_S = 0.06
_LOOK_GROWTH = 1.25
_SIGNS_EVERY_S = 1.0
_SWEEP_EVERY_S = 60.0
_RETRY_AFTER_S = 0.5
#: How many batches may wait at the broker: enough to keep workers busy, few enough that a flush of it loses little time.
_MAX_OUT = 48
#: With so many messages in flight, the workers have enough to do for a while, and what is sent now waits anyway: batches are joined,
#: the more the more there are, as long as one task is not more than a moment's work for all workers: docs/decisions/0009.
_JOIN_EVERY = 512
#: No count of outages, so that it differs from every one.
_DURING_OUTAGE = -1
#: After the broker was away, workers need a moment to connect again, and a connection that is dead on their side may still be
#: handed a batch: what is lost of this time is the outage's.
_RECONNECT_S = 15.0
#: So many messages in flight are a queue.
_MANY = 1024
_JOINED_WORK_S = 0.05
_RATE_EVERY_S = 0.25
#: The end of the year 9999. A sender may write any timestamp into a record, and no row could hold a later one.
_LATEST_TIME_S = 253_402_300_799.0


@dataclass(frozen=True, slots=True)
class Ports:
    """What the loop touches of the world."""

    consumer: KafkaConsumer
    producer: KafkaProducer
    board: BatchBoard
    dead_letters: DeadLetterStore
    results: dict[str, ResultStore]  # by capability
    #: Hands one work order to the capability's queue; raises TransientError while the broker is away.
    send: Callable[[str, WorkOrder], None]
    #: Whether the broker lost what it held since this was last asked; raises TransientError while it is away.
    broker_lost: Callable[[], bool] = lambda: False


class Dispatcher:
    """See the module. `run` returns after `stop`."""

    def __init__(self, settings: Settings, capabilities: dict[str, Capability], ports: Ports, health: Health) -> None:
        self._settings = settings
        self._ports = ports
        self._health = health
        self._by_topic = {topic_name(settings.topic_prefix, c.input.topic): c for c in capabilities.values()}
        self._sender: Sender[Item] = Sender(ports.producer)
        self._assignment = Assignment(
            ports.consumer, self._sends_under_way, patience_s=settings.session_timeout_ms / 2000
        )
        self._membership = Membership(
            ports.consumer, self._assignment, min(settings.session_timeout_ms, settings.max_poll_interval_ms)
        )
        self._batcher = Batcher(settings.batch_size, settings.batch_bytes, settings.batch_linger_ms / 1000)
        self._flight = Flight(settings.batch_deadline_s)
        self._limit = DeadLetterLimit(settings.dead_letter_max_ratio, settings.dead_letter_max_consecutive)
        self._desk = DeadLetterDesk(ports.dead_letters, ports.producer, self._limit, settings.topic_prefix)
        self._clock = HealthyClock()
        self._published_before: dict[TopicPartition, set[str]] = {}
        self._output_partitions: dict[str, int] = {}
        self._in_flight = InFlight(ports.consumer, settings)
        self._rate = 0.0  # decided messages a second, while there were any
        self._decided = 0  # since the rate was last looked at
        self._circuits = Circuits(health)
        self._committer = Committer(ports.consumer, self._assignment, self._circuits)
        # A commit is also how the coordinator's silence is noticed, which must be long before a session ends.
        self._commit_every_s = min(settings.commit_interval_s, self._membership.longest_gap_s / 2)
        self._running: frozenset[str] = frozenset()
        self._next: dict[str, float] = {}  # when each periodic step is due
        self._look_every_s = _FIRST_LOOK_S
        self._broker_settles_at = 0.0
        self._stop_by: float | None = None

    # --- life ---

    def stop(self) -> None:
        """Finish what is in flight, within the grace period, and return from `run`. Safe in a signal handler."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self._settings.shutdown_grace_s

    def run(self) -> None:
        """Until `stop`."""
        self._ports.consumer.subscribe(topics=list(self._by_topic), listener=self._assignment)
        while not self._finished():
            self._round()
        self._committer.commit_and_wait()

    def _finished(self) -> bool:
        if self._stop_by is None:
            return False
        messages = self._in_flight.messages
        if messages == self._desk.held and not len(self._batcher):
            return True
        if time.monotonic() > self._stop_by:
            _log.warning("stopped with work in flight; it will be delivered again", messages=messages)
            return True
        return False

    def _round(self) -> None:
        self._take_in()
        started = time.monotonic()
        if self._assignment.rebalanced:
            self._tidy_after_rebalance()
        self._dispatch(started)
        if self._due("look", self._look_every_s, started):
            self._look_every_s = min(self._look_every_s * _LOOK_GROWTH, _LAST_LOOK_S)
            self._circuits.guarded("postgres", lambda: self._collect(started))
        if self._membership.holds(self._committer.silent_s(started)):
            self._sender.send(started)
            self._circuits.guarded("postgres", lambda: self._desk.flush(started))
        self._settle(started)
        if self._due("signs", _SIGNS_EVERY_S, started):
            self._circuits.guarded("postgres", self._read_signs)
            self._circuits.guarded("broker", self._look_at_broker)
            self._find_lost(started)
        if self._decided and self._due("rate", _RATE_EVERY_S, started):
            self._rate += (self._decided / _RATE_EVERY_S - self._rate) / 2
            self._decided = 0
        if self._due("commit", self._commit_every_s, started):
            self._committer.commit(started)
            report_lag(self._ports.consumer, self._assignment)
        if self._due("sweep", _SWEEP_EVERY_S, started):
            self._circuits.guarded("postgres", self._sweep)
        self._regulate(started)
        self._health.beat()
        metrics.LOOP_SECONDS.observe(time.monotonic() - started)

    def _sweep(self) -> bool:
        self._ports.board.sweep()
        return True

    # --- in ---

    def _poll(self) -> dict[TopicPartition, Any]:
        busy = self._in_flight.messages > 0 or len(self._batcher) > 0
        try:
            polled: dict[TopicPartition, Any] = self._ports.consumer.poll(
                timeout_ms=int(self._look_every_s * 1000) if busy else _IDLE_POLL_MS
            )
            if not self._assignment.fresh:  # a poll answers nothing while recovery cannot read
                self._circuits.close("kafka")
        except KafkaError as error:
            self._circuits.open("kafka", f"Kafka: {type(error).__name__}: {error}")
            time.sleep(0.1)
            polled = {}
        self._membership.polled()
        if self._assignment.left_behind:
            # Their next owner cannot see them, and publishes them; the producer would deliver them hours later.
            close_producer(self._ports.producer, 0)
            raise TransientError("results were under way when their partition was given up: begins anew without them")
        return polled

    def _take_in(self) -> None:
        polled = self._poll()
        for partition in self._assignment.fresh & polled.keys():
            # Read them again after recovery: a partition that was never committed begins at the consumer's position, and that is
            # behind these records by now. Committed as the beginning, it would lose them.
            self._ports.consumer.seek(partition, polled.pop(partition)[0].offset)
        if self._assignment.fresh:
            self._circuits.guarded("kafka", self._recover)
        for partition, records in polled.items():
            ledger = self._assignment.ledger(partition)
            if ledger is None:
                continue  # it left while recovery went on
            capability = self._by_topic[partition.topic]
            metrics.CONSUMED.labels(capability.name).inc(len(records))
            now = time.monotonic()
            for record in records:
                ledger.add(record.offset, record.timestamp)
                read = read_record(record, capability, ledger, self._settings)
                self._in_flight.accept(read.size_bytes)
                if isinstance(read, Item):
                    for batch in self._batcher.add(read, now):
                        self._flight.add(batch)
                else:
                    self._refuse(read)

    def _recover(self) -> bool:
        fresh = self._assignment.fresh
        outputs = {}
        for partition in fresh:
            capability = self._by_topic[partition.topic]
            topic = topic_name(self._settings.topic_prefix, capability.output.topic)
            count = self._count_output_partitions(capability)
            outputs[partition] = TopicPartition(topic, output_partition(partition.partition, count))
        recovered = recover(self._ports.consumer, self._settings, outputs)
        for partition, found in recovered.items():
            self._assignment.open(partition, found)
            self._published_before[partition] = found.published
            self._in_flight.assigned(partition)
        return True

    def _count_output_partitions(self, capability: Capability) -> int:
        topic = topic_name(self._settings.topic_prefix, capability.output.topic)
        if topic not in self._output_partitions:
            found = self._ports.consumer.partitions_for_topic(topic)
            if not found:
                raise TransientError(f"Kafka: topic {topic} does not exist; run `python -m consumers.prepare`")
            self._output_partitions[topic] = len(found)
        return self._output_partitions[topic]

    def _sends_under_way(self, partitions: Collection[TopicPartition]) -> bool:
        return self._sender.under_way(
            lambda item: TopicPartition(item.record.topic, item.record.partition) in partitions
        )

    def _tidy_after_rebalance(self) -> None:
        self._assignment.rebalanced = False
        owned = self._assignment.ledgers()
        self._published_before = {p: ids for p, ids in self._published_before.items() if p in owned}
        # What was not sent yet is the next owner's to send: it would not see ours, and there would be two.
        gone: list[Item | Refusal] = [*self._batcher.discard(_is_gone), *self._flight.discard(_is_gone)]
        self._forget([*gone, *self._sender.discard(_is_gone), *self._desk.discard(_is_gone)])

    # --- out to the workers ---

    def _dispatch(self, now: float) -> None:
        # With nothing in flight there is nobody to share a batch with: latency is worth more than a fuller batch.
        idle = self._flight.out == 0 and self._flight.waiting == 0
        for closed in self._batcher.due(now, flush=idle or self._stop_by is not None):
            self._flight.add(closed)
        while self._flight.out < _MAX_OUT and self._circuits.may_try("broker", now):
            batch = self._flight.next_to_send(now, join=self._joinable())
            if batch is None:
                return
            started = time.monotonic()
            try:
                self._ports.send(batch.capability.name, _order(batch))
            except TransientError as error:
                self._flight.put_back(batch)
                self._circuits.open("broker", str(error))
                self._broker_settles_at = started + _RECONNECT_S
                return
            self._circuits.close("broker")
            self._look_soon()
            # What is sent while a part is away may be lost with it: the outage that explains this has been counted before.
            excused = self._circuits.outage or started < self._broker_settles_at
            self._flight.sent(batch, _DURING_OUTAGE if excused else self._clock.outages)
            metrics.SEND_SECONDS.observe(time.monotonic() - started)
            metrics.BATCH_SIZE.labels(batch.capability.name).observe(len(batch.items))

    def _joinable(self) -> int:
        """How many waiting batches may travel as one task."""
        at_once = self._rate * _JOINED_WORK_S / self._settings.batch_size
        return int(min(at_once, self._in_flight.messages / _JOIN_EVERY))

    # --- back from the workers ---

    def _collect(self, now: float) -> bool:
        ids = self._flight.sent_ids()
        if not ids:
            return False
        for finished in self._ports.board.finished(ids):
            self._look_soon()
            if finished.outcome == "done":
                self._collect_done(finished)
                continue
            batch = self._flight.finished(finished.batch_id, self._clock.now_s)
            if batch is None:
                continue
            _log.info("batch came back", batch_id=batch.id, outcome=finished.outcome, detail=finished.detail)
            metrics.BATCHES_RESENT.labels(batch.capability.name, finished.outcome).inc()
            if not self._keep_ours(batch):
                continue
            if finished.outcome == "suspect":
                self._strike(batch, now, DeadLetterReason.MODEL_CRASH, finished.detail)
            else:
                self._circuits.open("inference", finished.detail)
                self._flight.again(batch, now + _RETRY_AFTER_S)
        return True

    def _collect_done(self, finished: FinishedBatch) -> None:
        batch = self._flight.peek(finished.batch_id)
        if batch is None:
            return
        # Read before the batch leaves the flight: if Postgres goes away now, the next round finds it still there.
        rows = self._ports.results[batch.capability.name].read(i.decision_id for i in batch.items)
        self._flight.finished(finished.batch_id, self._clock.now_s)
        self._circuits.close("inference")
        result = sort_batch(batch, finished, rows)
        count = self._output_partitions[topic_name(self._settings.topic_prefix, batch.capability.output.topic)]
        for item, row in result.to_publish:
            before = self._published_before.get(TopicPartition(item.record.topic, item.record.partition))
            if before and item.decision_id in before:
                before.discard(item.decision_id)
                metrics.REPUBLISH_SUPPRESSED.labels(batch.capability.name).inc()
                self._settle_item(item)
            else:
                self._sender.put(render(item, row, prefix=self._settings.topic_prefix, partitions=count))
        if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):  # a line a message would cost more than the message
            for item, _ in result.to_publish:
                _log.debug(
                    "decided",
                    event_id=item.event_id,
                    decision_id=item.decision_id,
                    batch_id=batch.id,
                    topic=item.record.topic,
                    partition=item.record.partition,
                    offset=item.record.offset,
                )
        for item in result.duplicates:
            metrics.DUPLICATES.labels(batch.capability.name).inc()
            self._settle_item(item)
        for refusal in result.refusals:
            self._refuse(refusal)
        self._forget(result.gone)
        if result.missing:
            self._flight.add(Batch(batch.capability, result.missing, strikes=batch.strikes))
        self._limit.success(len(result.to_publish) + len(result.duplicates))

    def _read_signs(self) -> bool:
        signs = self._ports.board.signs()
        self._running = frozenset().union(*(s.running for s in signs)) if signs else frozenset()
        waiting = next((s.problem for s in signs if s.problem), None)
        if not signs:
            self._circuits.open(WORKERS, "no worker gave a sign of life in the last seconds")
        else:
            self._circuits.close(WORKERS)
        if waiting:
            self._circuits.open("inference", f"a worker waits for {waiting}")
        elif "inference" in self._circuits and not self._running:
            self._circuits.close("inference")
        return True

    def _look_at_broker(self) -> bool:
        """A broker that was away between two sends took the batches with it, and no circuit opened."""
        if self._ports.broker_lost():
            self._clock.outages += 1  # for what workers run, and lose if they end
            self._broker_settles_at = time.monotonic() + _RECONNECT_S
            batches = self._flight.lost_with_broker(self._running)
            _log.warning("the broker lost what waited there; it is sent again", batches=len(batches))
            for batch in batches:
                if self._keep_ours(batch):
                    metrics.BATCHES_RESENT.labels(batch.capability.name, "lost_in_outage").inc()
                    self._flight.again(batch, time.monotonic())
        return True

    def _find_lost(self, now: float) -> None:
        self._clock.tick(now, healthy=not self._circuits, outage=self._circuits.outage)
        if self._circuits:
            return
        for batch in self._flight.lost(self._clock.now_s, self._running):
            if not self._keep_ours(batch):
                continue
            through_outage = batch.outages_at_send != self._clock.outages
            cause = "lost_in_outage" if through_outage else "lost"
            metrics.BATCHES_RESENT.labels(batch.capability.name, cause).inc()
            _log.warning(
                "batch is lost and sent again", batch_id=batch.id, cause=cause, strikes=batch.strikes, alone=batch.alone
            )
            if through_outage or (batch.alone and not self._began(batch)):
                self._flight.again(batch, now)
            else:
                self._strike(batch, now, DeadLetterReason.WORKER_LOST, "the worker's process ended")

    def _began(self, batch: Batch) -> bool:
        """Whether a worker announced this suspected batch before it vanished."""
        try:
            return self._ports.board.was_started(batch.id)
        except TransientError:
            return False

    def _strike(self, batch: Batch, now: float, reason: DeadLetterReason, what: str) -> None:
        for item in self._flight.strike(batch, now + _RETRY_AFTER_S):
            self._refuse(refuse(item, reason, f"each time this message ran alone: {what}"))

    # --- settlement ---

    def _settle(self, now: float) -> None:
        seconds_now = time.time()
        decided: dict[str, int] = {}
        observe: dict[str, Callable[[float], None]] = {}
        for item, offset in self._sender.acknowledged(now):
            name = item.capability.name
            if name not in decided:
                decided[name] = 0
                observe[name] = metrics.END_TO_END_SECONDS.labels(name).observe
            decided[name] += 1
            observe[name](max(0.0, seconds_now - item.record.timestamp / 1000))
            self._settle_item(item, offset)
        for name, count in decided.items():
            metrics.DECIDED.labels(name).inc(count)
            self._decided += count
        if self._sender.problem or self._desk.problem:
            # What failed after its partition was given up is the next owner's: sent again from here, there would be two.
            self._forget([*self._sender.discard(_is_gone), *self._desk.discard(_is_gone)])
        for refused in self._sender.refused():
            item = refused.outgoing.subject
            if _is_gone(item):
                self._forget([item])
            else:
                self._refuse(refuse(item, DeadLetterReason.INTERNAL, f"the result: {refused.problem}"))
        for refusal in self._desk.acknowledged(now):
            metrics.DEAD_LETTERED.labels(refusal.capability.name, refusal.reason.value).inc()
            refusal.ledger.settle(refusal.record.offset)
            self._in_flight.release(refusal.size_bytes)
        problem = self._sender.problem or self._desk.problem
        if problem:
            self._circuits.open("kafka-output", problem)
        else:
            self._circuits.close("kafka-output")

    def _settle_item(self, item: Item, output_offset: int = -1) -> None:
        item.ledger.settle(item.record.offset, output_offset)
        self._in_flight.release(item.size_bytes)

    def _refuse(self, refusal: Refusal) -> None:
        _log.info(
            "refused",
            reason=refusal.reason.value,
            event_id=refusal.event_id,
            topic=refusal.record.topic,
            partition=refusal.record.partition,
            offset=refusal.record.offset,
        )
        self._desk.add(refusal)
        if self._desk.halted:
            metrics.DEAD_LETTER_LIMIT_HIT.set(1)
            self._health.set_condition("dead_letter_limit", f"consumption is stopped: {self._desk.halted}")

    def _forget(self, items: Sequence[Item | Refusal]) -> None:
        for item in items:
            self._in_flight.release(item.size_bytes)

    def _keep_ours(self, batch: Batch) -> bool:
        """Before a batch is sent again: drop what is somebody else's by now. False when nothing is left."""
        self._forget([i for i in batch.items if _is_gone(i)])
        batch.items = [i for i in batch.items if not _is_gone(i)]
        return bool(batch.items)

    # --- limits, health ---

    def _regulate(self, now: float) -> None:
        self._in_flight.regulate(must_stop=self._stop_by is not None or self._desk.halted is not None)
        if self._due("gauges", 0.5, now):
            self._in_flight.report()
            metrics.IN_FLIGHT_BATCHES.set(self._flight.out + self._flight.waiting)
            metrics.QUARANTINED.set(self._flight.suspects)
            joined = self._membership.joined()
            self._health.set_condition("group", None if joined else "not a member of the consumer group yet")

    def _due(self, step: str, every_s: float, now: float) -> bool:
        if now < self._next.get(step, 0.0):
            return False
        self._next[step] = now + every_s
        return True

    def _look_soon(self) -> None:
        # A message behind many others waits for them and not for a look; looking rarely leaves the cores to the model.
        self._look_every_s = _FIRST_LOOK_S if self._in_flight.messages < _MANY else _LAST_LOOK_S
        self._next["look"] = min(self._next.get("look", 0.0), time.monotonic() + self._look_every_s)


def _is_gone(item: Item | Refusal) -> bool:
    return item.ledger.closed


def _order(batch: Batch) -> WorkOrder:
    items = [
        OrderedItem(
            i.decision_id,
            i.content_hash,
            i.tenant,
            i.event_id,
            i.record.partition,
            i.record.offset,
            min(max(i.record.timestamp, 0) / 1000, _LATEST_TIME_S),
            i.output_key,
            i.data,
        )
        for i in batch.items
    ]
    return WorkOrder(batch.id, batch.capability.name, batch.alone, items)
