"""The toy capability for a dispatcher whose loop can be held up, while the rest of its process lives on.

Unlike SIGSTOP, which also stops the threads that speak to Kafka and answer for health. The loop asks for the type of an event
when it takes one in and when it renders a result; while the file of `Hold` exists, the answer to one of the two does not come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from services.events import EventType
from tests.toy.capability import TOY

__all__ = ["HELD_TOY", "Hold", "Place"]

Place = Literal["taking in", "publishing"]

_VARIABLE = "TIDEGATE_TEST_HOLD"


@dataclass(frozen=True, slots=True)
class Hold:
    """How a test holds up the dispatcher that was started with `environment`."""

    folder: Path
    place: Place

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "TIDEGATE_CAPABILITIES": f"{__name__}:HELD_TOY",
            _VARIABLE: str(self.folder / self.place),
        }

    def begin(self) -> None:
        """The loop stands still as soon as it comes to the place."""
        (self.folder / self.place).touch()

    def end(self) -> None:
        (self.folder / self.place).unlink()

    @property
    def holds(self) -> bool:
        """Whether the loop stands still."""
        return (self.folder / f"{self.place}.held").exists()


class _HeldType(EventType):
    """Its `type` waits while the file that the environment names is there and is called after this place."""

    place: Place

    @property
    def type(self) -> str:
        wanted = Path(os.environ.get(_VARIABLE, "/nonexistent"))
        while wanted.name == self.place and wanted.exists():
            wanted.with_name(f"{wanted.name}.held").touch()
            time.sleep(0.05)
        return f"tidegate.{self.topic}.v{self.version}"


class _Input(_HeldType):
    place = "taking in"


class _Output(_HeldType):
    place = "publishing"


def _as(kind: type[_HeldType], event: EventType) -> _HeldType:
    return kind(**{field.name: getattr(event, field.name) for field in fields(event)})


HELD_TOY = replace(TOY, input=_as(_Input, TOY.input), output=_as(_Output, TOY.output))
