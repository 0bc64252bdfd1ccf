"""How far each partition is behind, as metrics. A report: it decides nothing and never raises."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from services.messaging import KafkaError
from services.telemetry import metrics

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from services.messaging import Assignment

__all__ = ["report_lag"]


def report_lag(consumer: KafkaConsumer, assignment: Assignment) -> None:
    """Set the two lag gauges of every open partition, from what the client knows already."""
    now_ms = time.time() * 1000
    for partition, ledger in assignment.ledgers().items():
        labels = (partition.topic, str(partition.partition))
        oldest = ledger.oldest_timestamp_ms
        seconds = max(0.0, (now_ms - oldest) / 1000) if oldest is not None else 0.0
        metrics.WATERMARK_LAG_SECONDS.labels(*labels).set(seconds)
        try:
            end = consumer.highwater(partition)
            position = consumer.position(partition, timeout_ms=0) if end is not None else None
        except (KafkaError, AssertionError):
            continue
        if end is not None and position is not None:
            metrics.WATERMARK_LAG_MESSAGES.labels(*labels).set(max(0, end - position + ledger.pending))
