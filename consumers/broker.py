"""The Celery application that dispatcher and workers share. A transport, and nothing that must survive.

Kafka's committed offset is the queue that counts. Valkey may lose everything at any moment, and does so in the tests.

Deliberately *early* acknowledgement (`task_acks_late=False`): with the threads pool a text that kills the process takes the
acknowledgement with it, so a late-acknowledged task comes back from the broker after its visibility timeout and kills the
next worker, for ever. The dispatcher sends again what was lost and counts how often (docs/decisions/0003).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import orjson
from celery import Celery
from kombu import Exchange, Queue
from kombu.serialization import register

if TYPE_CHECKING:
    from services.settings import Settings

__all__ = ["RUN_BATCH", "make_broker", "queue_name"]

#: Name of the one task there is: run a batch of any capability.
RUN_BATCH = "tidegate.run_batch"

_CONNECT_TIMEOUT_S = 5

#: JSON all the same, written and read by orjson: see `work_order`.
_SERIALIZER = "orjson"
register(_SERIALIZER, orjson.dumps, orjson.loads, content_type="application/x-orjson", content_encoding="utf-8")


def queue_name(capability: str) -> str:
    """Each capability has a queue, so that one can be given its own workers and none starves another."""
    return f"tidegate.{capability}"


def make_broker(settings: Settings, capabilities: Iterable[str], *, answer_within_s: float = 15) -> Celery:
    """A configured application; it connects when it is first used.

    A broker that does not answer a command within `answer_within_s` counts as away; for a worker that must be more than the
    blocking pop takes.
    """
    app = Celery("tidegate", broker=settings.valkey_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,  # parts start in any order
        broker_connection_max_retries=None,  # the default gives up after 100
        broker_pool_limit=2,
        broker_transport_options={
            "global_keyprefix": f"{settings.topic_prefix}tidegate:",
            # Valkey keeps no copy of what a worker took: the dispatcher sends again what was lost, and the copies cost a fifth
            # of a worker's CPU (100 → 84 µs a message, measured 2026-11, two busy cores).
            "ack_emulation": False,
            "socket_timeout": answer_within_s,
            "socket_connect_timeout": min(_CONNECT_TIMEOUT_S, answer_within_s),
            "socket_keepalive": True,
            "health_check_interval": 25,
            "max_retries": 1,  # the dispatcher's loop is the retry
        },
        task_serializer=_SERIALIZER,
        accept_content=[_SERIALIZER],
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_publish_retry=False,
        task_default_delivery_mode=1,
        task_queues=[_queue(queue_name(name)) for name in capabilities],
        task_create_missing_queues=False,  # a typo fails instead of filling a queue that nobody reads
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.worker_concurrency,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the effect is idempotent; let it finish
        worker_send_task_events=False,
        task_send_sent_event=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        enable_utc=True,
        timezone="UTC",
    )
    return app


def _queue(name: str) -> Queue:
    """With an exchange of its own: queues that share Celery's default exchange and key would each get every batch."""
    return Queue(name, Exchange(name, type="direct", durable=False), routing_key=name, durable=False)
