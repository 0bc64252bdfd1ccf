"""Every metric of Tidegate, declared once and typed; nothing else in the project creates one.

All names start with `tidegate_`; durations are seconds. Label values are bounded sets: capability names, reasons of
`DeadLetterReason`, topics and partitions, names of dependencies. Never a tenant, an id or a text.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, Info

__all__ = [
    "BATCHES_RESENT",
    "BATCH_SIZE",
    "BUILD_INFO",
    "CIRCUIT_OPEN",
    "CONSUMED",
    "DEAD_LETTERED",
    "DEAD_LETTER_LIMIT_HIT",
    "DECIDED",
    "DUPLICATES",
    "END_TO_END_SECONDS",
    "HEARTBEATS",
    "INFERENCE_SECONDS",
    "IN_FLIGHT_BATCHES",
    "IN_FLIGHT_BYTES",
    "IN_FLIGHT_MESSAGES",
    "LOOP_SECONDS",
    "POSTGRES_SECONDS",
    "QUARANTINED",
    "REBALANCES",
    "REPUBLISH_SUPPRESSED",
    "SEND_SECONDS",
    "TASK_SECONDS",
    "WATERMARK_LAG_MESSAGES",
    "WATERMARK_LAG_SECONDS",
]

#: From a cache hit to a minute-long outage; 0.06 and 0.25 are the promised p50 and p99.
_LATENCY = (0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_CALL = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

BUILD_INFO = Info("tidegate_build", "Version of the running code.")

# --- dispatcher ------------------------------------------------------------------------------------------------------
CONSUMED = Counter("tidegate_consumed", "Messages taken from an input topic.", ["capability"])
DECIDED = Counter("tidegate_decided", "Results durable, published and acknowledged.", ["capability"])
DEAD_LETTERED = Counter("tidegate_dead_lettered", "Messages dead-lettered (row and record).", ["capability", "reason"])
DUPLICATES = Counter("tidegate_duplicates", "Events seen before with the same content: one effect.", ["capability"])
REPUBLISH_SUPPRESSED = Counter(
    "tidegate_republish_suppressed",
    "Results found on the output topic after a restart and not sent again.",
    ["capability"],
)
END_TO_END_SECONDS = Histogram(
    "tidegate_end_to_end_seconds",
    "From the input record's timestamp to its acknowledged result.",
    ["capability"],
    buckets=_LATENCY,
)
BATCH_SIZE = Histogram(
    "tidegate_batch_size",
    "Messages per dispatched batch.",
    ["capability"],
    buckets=(1, 2, 4, 8, 16, 32, 48, 64, 128, 256, 512),
)
BATCHES_RESENT = Counter("tidegate_batches_resent", "Batches sent again, by cause.", ["capability", "cause"])
QUARANTINED = Gauge("tidegate_quarantined_batches", "Suspected batches waiting to run alone.")
IN_FLIGHT_BATCHES = Gauge("tidegate_in_flight_batches", "Batches between dispatch and settlement.")
IN_FLIGHT_MESSAGES = Gauge("tidegate_in_flight_messages", "Messages between consumption and settlement.")
IN_FLIGHT_BYTES = Gauge("tidegate_in_flight_bytes", "Their size in bytes.")
WATERMARK_LAG_MESSAGES = Gauge(
    "tidegate_watermark_lag_messages", "End of the partition minus its settled watermark.", ["topic", "partition"]
)
WATERMARK_LAG_SECONDS = Gauge(
    "tidegate_watermark_lag_seconds", "Age of the oldest unsettled message of the partition.", ["topic", "partition"]
)
CIRCUIT_OPEN = Gauge("tidegate_circuit_open", "1 while work waits for this dependency.", ["dependency"])
DEAD_LETTER_LIMIT_HIT = Gauge("tidegate_dead_letter_limit_hit", "1 after too many dead letters stopped consumption.")
REBALANCES = Counter("tidegate_rebalances", "Partitions that came and went.", ["event"])
LOOP_SECONDS = Histogram(
    "tidegate_loop_seconds", "One iteration of the dispatcher's loop, waiting excluded.", buckets=_CALL
)
SEND_SECONDS = Histogram("tidegate_send_seconds", "Handing one batch to the Celery broker.", buckets=_CALL)

# --- worker ----------------------------------------------------------------------------------------------------------
TASK_SECONDS = Histogram(
    "tidegate_task_seconds", "One batch in a worker, by outcome.", ["capability", "outcome"], buckets=_CALL
)
INFERENCE_SECONDS = Histogram("tidegate_inference_seconds", "One call to Triton.", ["model", "outcome"], buckets=_CALL)
HEARTBEATS = Counter("tidegate_heartbeats", "Signs of life a worker wrote to Postgres.", ["outcome"])

# --- both ------------------------------------------------------------------------------------------------------------
POSTGRES_SECONDS = Histogram("tidegate_postgres_seconds", "One statement on Postgres.", ["statement"], buckets=_CALL)
