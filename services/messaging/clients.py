"""Kafka clients with the settings that the delivery guarantee needs; nothing else in the project constructs one.

Every value that differs from kafka-python's default says why. Each client starts an IO thread: create it in the process that
uses it, and close it there. Errors: constructors raise kafka-python's own, which `connection_problem` recognises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from services.messaging.compressed_batches import unpack_within_bounds
from services.messaging.failed_connections import close_failed_connections
from services.messaging.group_join import finish_joins
from services.messaging.header_names import read_any_header_name

if TYPE_CHECKING:
    from services.settings import Settings

# Here and not in each function: whoever makes a client imports this module first.
read_any_header_name()
unpack_within_bounds()
close_failed_connections()

__all__ = ["REFUSALS", "admin_client", "close_producer", "group_consumer", "is_dead", "partition_reader", "producer"]

_TIMEOUT_MS = 30_000

#: About the record itself and not about the broker: sending it again would fail again.
REFUSALS = (InvalidRecordError, InvalidTimestampError, MessageSizeTooLargeError, RecordListTooLargeError)


def group_consumer(settings: Settings, client_id: str) -> KafkaConsumer:
    """The dispatcher's consumer. Subscribing and listening is the caller's part."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap.split(","),
        client_id=client_id,
        group_id=settings.consumer_group,
        enable_auto_commit=False,  # the default commits what was only fetched
        auto_offset_reset="earliest",  # the default skips everything published before the first start
        # Eager assignors keep the position of partitions they "revoke": forgetting those in the listener lost 22 of 18,000.
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=max(500, settings.session_timeout_ms // 5),
        max_poll_interval_ms=settings.max_poll_interval_ms,
        max_poll_records=1000,  # 500 is the default; 43,000 → 92,000 messages/s with 2,000 (measured 2026-11)
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
        metrics_enabled=False,
        allow_auto_create_topics=False,
        request_timeout_ms=_TIMEOUT_MS,
        reconnect_backoff_max_ms=1000,  # the default waits up to 30 s after a broker came back
    )
    return finish_joins(consumer)


def partition_reader(settings: Settings, client_id: str) -> KafkaConsumer:
    """A consumer without a group, for `assign` and `seek`: reads and never commits."""
    return KafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap.split(","),
        client_id=client_id,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=2000,
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=4 * 1024 * 1024,
        metrics_enabled=False,
        allow_auto_create_topics=False,
        request_timeout_ms=_TIMEOUT_MS,
        reconnect_backoff_max_ms=1000,
    )


def producer(settings: Settings, client_id: str, *, linger_ms: int = 2) -> KafkaProducer:
    """An idempotent producer. Its memory is unbounded while a broker is away: bound the futures you keep.

    A record that the broker refuses fails alone, or together with what is under way at that moment; the producer goes on.
    """
    made = KafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap.split(","),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,  # explicit, so that a conflicting setting raises instead of switching it off
        linger_ms=linger_ms,
        batch_size=131_072,
        compression_type="zstd",
        max_request_size=2 * 1024 * 1024,  # a dead letter carries the largest accepted value plus its headers
        max_block_ms=5_000,
        # When it is over, the record is sent anew, and a broker that had taken the first one publishes both. So no outage that
        # somebody mends lasts as long; what waits is bounded by the dispatcher's limit of messages in flight.
        delivery_timeout_ms=6 * 3_600_000,
        request_timeout_ms=_TIMEOUT_MS,
        metrics_enabled=False,
        allow_auto_create_topics=False,
        reconnect_backoff_max_ms=1000,
    )
    _survive_refusals(made)
    return made


def _survive_refusals(made: KafkaProducer) -> None:
    """Make an error of one batch cost a new epoch, as in the Java client, and not the producer.

    kafka-python 3.0.12 calls every error that is not retriable fatal for an idempotent producer: after one record that is too
    large for its topic, every later record of every topic failed with that record's error, for ever (measured 2026-11). So would all
    after one topic that may not be written to, or one error that the broker does not explain.
    """
    manager = made._transaction_manager  # noqa: SLF001
    classify = manager.classify_batch_error

    def forgiving(error: Any, batch: Any, log_start_offset: int = -1) -> Any:
        kind = error if isinstance(error, type) else type(error)
        found = classify(error, batch, log_start_offset=log_start_offset)
        if found == manager.ERROR_CLASS_FATAL and kind not in manager._FATAL_ERRORS:  # noqa: SLF001
            return manager.ERROR_CLASS_NEEDS_EPOCH_BUMP
        return found

    manager.classify_batch_error = forgiving


def is_dead(made: KafkaProducer) -> bool:
    """Whether nothing that is given to it will ever be sent, because the cluster refuses the producer itself."""
    manager = getattr(made, "_transaction_manager", None)
    return manager is not None and bool(manager.has_fatal_error())


def close_producer(producer: KafkaProducer, timeout_s: float) -> None:
    """Close it; what the broker has not acknowledged by then is given up."""
    try:
        producer.close(timeout=timeout_s)
    except KafkaTimeoutError:
        # The client's `close` raises before it has closed anything, and its `__del__` would try, wait and complain again.
        producer._sender.force_close()  # noqa: SLF001
        producer._closed = True  # noqa: SLF001


def admin_client(settings: Settings, client_id: str, *, patience_ms: int = _TIMEOUT_MS) -> KafkaAdminClient:
    """For creating and describing topics. `patience_ms` is how long the constructor waits for a broker."""
    return KafkaAdminClient(
        bootstrap_servers=settings.kafka_bootstrap.split(","),
        client_id=client_id,
        request_timeout_ms=_TIMEOUT_MS,
        bootstrap_timeout_ms=patience_ms,
    )
