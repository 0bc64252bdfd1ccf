"""One running Tidegate, and what a test asks of it: what became of the record that I sent?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.storage import DeadLetter, DeadLetterStore
from tests.integration.servers import Deployment
from tests.integration.spine.processes import Process, running
from tests.integration.spine.topics import Record, Topics

__all__ = ["App", "Sent", "running_app"]

T = TypeVar("T")

#: Input topic → output topic.
OUTPUTS = {"content.submitted": "content.decided", "toy.requested": "toy.answered"}


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that is on an input topic, and where the other topics ended before."""

    topic: str
    partition: int
    offset: int
    output_ends: dict[int, int]
    dead_letter_ends: dict[int, int]


@dataclass(frozen=True, slots=True)
class App:
    """A deployment with its processes."""

    deployment: Deployment
    topics: Topics
    dispatcher: Process
    worker: Process

    def send(
        self,
        topic: str,
        *values: bytes | None,
        key: bytes | None = b"author-1",
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> list[Sent]:
        """Publish on an input topic."""
        outputs, letters = self.topics.ends(OUTPUTS[topic]), self.topics.ends(f"{topic}.dlq")
        placed = self.topics.send(topic, values, key=key, headers=headers, timestamp_ms=timestamp_ms)
        return [Sent(topic, partition, offset, outputs, letters) for partition, offset in placed]

    def results(self, sent: Sent) -> list[Record]:
        """The output events that answer it."""
        wanted = f"{sent.partition}:{sent.offset}"
        found = self.topics.read(OUTPUTS[sent.topic], since=sent.output_ends)
        return [record for record in found if record.header("tidegate-input") == wanted]

    def dead_letters(self, sent: Sent) -> list[Record]:
        """The records on the dead-letter topic that came of it."""
        wanted = (str(sent.partition), str(sent.offset))
        found = self.topics.read(f"{sent.topic}.dlq", since=sent.dead_letter_ends)
        return [r for r in found if (r.header("dlq-partition"), r.header("dlq-offset")) == wanted]

    def rows_of_dead_letters(self, sent: Sent) -> list[DeadLetter]:
        """The rows that came of it."""
        topic = self.deployment.settings.topic_prefix + sent.topic
        with self.deployment.database() as database:
            letters = DeadLetterStore(database).find(limit=1000)
        return [e for e in letters if (e.topic, e.partition, e.offset) == (topic, sent.partition, sent.offset)]

    def settled(self, sent: Sent) -> bool:
        """Whether the group's offset is beyond it."""
        return self.topics.committed(sent.topic).get(sent.partition, 0) > sent.offset

    def wait(self, look: Callable[[], T], what: str) -> T:
        return self.dispatcher.wait(look, what)

    def result(self, sent: Sent) -> Record:
        """Wait for it to be decided."""
        return self.wait(lambda: self.results(sent), f"a result for {sent}")[0]

    def dead_letter(self, sent: Sent) -> Record:
        """Wait for it to be dead-lettered."""
        return self.wait(lambda: self.dead_letters(sent), f"a dead letter for {sent}")[0]

    def wait_settled(self, *sent: Sent) -> None:
        """Wait until nothing of these is in flight."""
        for one in sent:
            self.wait(lambda one=one: self.settled(one), f"committed beyond {one}")  # type: ignore[misc]


@contextmanager
def running_app(deployment: Deployment, logs: Path) -> Iterator[App]:
    """A dispatcher and a worker for the time of the block."""
    with (
        running("worker", deployment.environment, logs, wait=False) as worker,
        running("dispatcher", deployment.environment, logs) as dispatcher,
    ):
        worker.wait_ready()
        topics = Topics(deployment.settings)
        try:
            yield App(deployment, topics, dispatcher, worker)
        finally:
            topics.close()
