"""Every event type there is, found and not listed: a new family of events is a new module in this package.

Such a module names what Tidegate reads in `INPUTS` and what it writes in `OUTPUTS`, both tuples of `EventType`.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from services import events
from services.events.types import EventType

__all__ = ["input_types", "output_types"]


def input_types() -> tuple[EventType, ...]:
    """Event types that Tidegate reads, by topic. Each has a dead-letter topic."""
    return _collect("INPUTS")


def output_types() -> tuple[EventType, ...]:
    """Event types that Tidegate writes, by topic."""
    return _collect("OUTPUTS")


def _collect(name: str) -> tuple[EventType, ...]:
    found: dict[str, EventType] = {}
    for module in iter_modules(events.__path__, "services.events."):
        # Importing `schema` from here would run its imports in a circle, and it declares no events.
        if not module.name.endswith((".schema", ".catalogue")):
            found |= {event.topic: event for event in getattr(import_module(module.name), name, ())}
    return tuple(found[topic] for topic in sorted(found))
