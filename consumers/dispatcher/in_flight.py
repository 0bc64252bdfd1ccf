"""How much is accepted and not settled, and whether that is too much to take in more (I4).

Promises: at a limit of messages or bytes consumption is paused, at half of both it goes on; what a paused consumer is given in a
rebalance stays paused too. A single poll may go beyond the limit by what it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.telemetry import metrics

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from services.messaging import TopicPartition
    from services.settings import Settings

__all__ = ["InFlight"]


class InFlight:
    """The loop's thread only."""

    def __init__(self, consumer: KafkaConsumer, settings: Settings) -> None:
        self._consumer = consumer
        self._most = (settings.in_flight_messages, settings.in_flight_bytes)
        self.messages = 0
        self.bytes = 0
        self._paused = False

    def accept(self, size_bytes: int) -> None:
        """A message was taken in."""
        self.messages += 1
        self.bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """It is settled, or somebody else's."""
        self.messages -= 1
        self.bytes -= size_bytes

    def assigned(self, partition: TopicPartition) -> None:
        """A partition is read from now on."""
        if self._paused:
            self._consumer.pause(partition)

    def regulate(self, *, must_stop: bool) -> None:
        """Pause or resume; `must_stop` pauses whatever there is."""
        most_messages, most_bytes = self._most
        full = self.messages >= most_messages or self.bytes >= most_bytes
        low = self.messages <= most_messages // 2 and self.bytes <= most_bytes // 2
        if (full or must_stop) and not self._paused:
            self._paused = True
            self._consumer.pause(*self._consumer.assignment())
        elif self._paused and low and not must_stop:
            self._paused = False
            self._consumer.resume(*self._consumer.paused())

    def report(self) -> None:
        """Set the gauges."""
        metrics.IN_FLIGHT_MESSAGES.set(self.messages)
        metrics.IN_FLIGHT_BYTES.set(self.bytes)
