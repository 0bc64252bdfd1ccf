"""The toy capability: a text comes in, its length goes out. Certain texts break things on purpose.

`RAISE` raises in the pipeline; `EXIT` kills the worker's process; `SLEEP n` takes n seconds; anything else succeeds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.capabilities import Capability, Outcome, Rejection, Result, WorkItem
from services.errors import DeadLetterReason
from services.events import EventType, WireModel

__all__ = ["TOY", "build"]


class ToyRequested(WireModel):
    """What the toy is asked."""

    toy_id: str
    text: str


class ToyAnswered(WireModel):
    """What it answers."""

    decision_id: str
    event_id: str
    toy_id: str
    length: int


class ToyPipeline:
    """Counts code points."""

    def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
        """See `Pipeline.run`."""
        return [self._one(item) for item in items]

    def _one(self, item: WorkItem) -> Outcome:
        text: str = item.data.text
        if text == "RAISE":
            raise ValueError("told to raise")
        if text == "EXIT":
            os._exit(13)
        if text == "REJECT":
            return Rejection(DeadLetterReason.MODEL_ERROR, "told to reject")
        if text.startswith("SLEEP "):
            time.sleep(float(text.split()[1]))
        return Result({"toy_id": item.data.toy_id, "length": len(text)})


def build(_inference: Any, _settings: Any) -> ToyPipeline:
    """The factory that the capability names."""
    return ToyPipeline()


TOY = Capability(
    name="toy",
    input=EventType(topic="toy.requested", model=ToyRequested, key="toy_id"),
    output=EventType(topic="toy.answered", model=ToyAnswered, key="toy_id"),
    pipeline="tests.toy.capability:build",
    table="toy_answer",
    migrations=Path(__file__).parent / "migrations",
)
