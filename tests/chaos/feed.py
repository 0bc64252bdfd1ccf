"""Publishes planned events on a thread of its own, through every outage of Kafka, and writes each into the journal.

Promises: when `done` is set and `error` is None, every planned event was acknowledged at least once (acks=all). A send whose
outcome is unknown is repeated, so the topic may hold a record more often than the journal says.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.chaos.journal import Journal, Planned

__all__ = ["Feed"]

_WINDOW = 1000
_PAUSE_S = 0.2
#: After so many failures in a row the producer itself may be broken (an idempotent one can be, for good): a new one is made.
_FAILURES_UNTIL_NEW_PRODUCER = 25


class Feed:
    """`rate` is events per second; None means as fast as the window of unacknowledged sends allows."""

    def __init__(
        self, kafka: str, topic: str, journal: Journal, events: Iterable[Planned], rate: float | None = None
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._journal = journal
        self._events = events
        self._rate = rate
        self._stop = threading.Event()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._producer: KafkaProducer | None = None
        self._window: deque[tuple[Planned, Any]] = deque()
        self._failures = 0
        self.done = threading.Event()
        self.error: BaseException | None = None
        #: Records that the broker acknowledged, and sends that had to be repeated.
        self.acknowledged = 0
        self.sent_again = 0

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Plan no further events, and wait until those that were sent are acknowledged."""
        self._enough.set()
        self.done.wait()

    def stop(self) -> None:
        """Give up what is not published yet."""
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        try:
            started = time.monotonic()
            for number, event in enumerate(self._events):
                if self._rate is not None:
                    self._stop.wait(max(0.0, started + number / self._rate - time.monotonic()))
                if self._stop.is_set():
                    return
                if self._enough.is_set():
                    break
                self._journal.intend(event)
                for _ in range(event.copies):
                    self._send(event)
                self._collect(_WINDOW)
            self._collect(0)
        except BaseException as error:  # noqa: BLE001 - the thread's owner raises it
            self.error = error
        finally:
            if self._producer is not None:
                self._producer.close(timeout=2)
            self._journal.flush()
            self.done.set()

    def _send(self, event: Planned) -> None:
        while not self._stop.is_set():
            try:
                if self._producer is None:
                    self._producer = self._new_producer()
                future = self._producer.send(self._topic, event.value, event.key, list(event.headers))
            except KafkaError:
                self._failed()
            else:
                self._window.append((event, future))
                return

    def _collect(self, leave: int) -> None:
        """Look at what is known by now, and wait until at most `leave` sends are open."""
        while self._window and not self._stop.is_set():
            event, future = self._window[0]
            if not future.is_done:
                if len(self._window) <= leave:
                    return
                self._stop.wait(0.005)
                continue
            self._window.popleft()
            if future.succeeded():
                self._failures = 0
                self.acknowledged += 1
                self._journal.acknowledge(event.id, future.value.partition, future.value.offset)
            else:
                self.sent_again += 1
                self._failed()
                self._send(event)

    def _failed(self) -> None:
        self._failures += 1
        if self._failures % _FAILURES_UNTIL_NEW_PRODUCER == 0 and self._producer is not None:
            self._producer.close(timeout=0)
            self._producer = None
        self._stop.wait(_PAUSE_S)

    def _new_producer(self) -> KafkaProducer:
        return KafkaProducer(
            bootstrap_servers=self._kafka,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_block_ms=2_000,
            reconnect_backoff_max_ms=500,
            metrics_enabled=False,
        )
