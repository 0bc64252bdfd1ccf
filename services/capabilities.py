"""What a capability is, and the registry: the one place that names them all.

A capability is one kind of work: an input event, a pipeline, a stored result, an output event. The spine (dispatcher,
workers, storage) is generic over this object and knows no capability by name. Adding one means adding a folder of code, a
model folder, a migration, and a line to `REGISTRY`; an operator can add one without touching this file by listing
`module:attribute` names in `TIDEGATE_CAPABILITIES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from services.errors import ConfigurationError, DeadLetterReason

if TYPE_CHECKING:
    from services.events import EventType
    from services.settings import Settings

__all__ = ["REGISTRY", "Capability", "Outcome", "Pipeline", "Rejection", "Result", "WorkItem", "load_capabilities"]

#: `module:attribute` of every capability that ships with Tidegate.
REGISTRY: tuple[str, ...] = ("services.review.capability:REVIEW",)


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One event, validated against its input model, on its way through a pipeline."""

    decision_id: str
    event_id: str
    tenant: str
    data: Any  # an instance of the capability's input model


@dataclass(frozen=True, slots=True)
class Result:
    """What a pipeline decided: the `data` of the output event, ready for JSON, without `decision_id` and `event_id`."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejection:
    """This item alone cannot be processed; it is dead-lettered. The message must not contain the user's text."""

    reason: DeadLetterReason
    message: str


Outcome = Result | Rejection


class Pipeline(Protocol):
    """The domain logic of a capability. Called by several threads at once."""

    def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
        """One outcome per item, in order.

        Raises:
            TransientError: a dependency is away; nothing about these items is known to be wrong.
            ConfigurationError: the deployment is wrong (a model is missing).
        """


@dataclass(frozen=True, slots=True)
class Capability:
    """One kind of work, declared. Holds names and types only, so importing it is cheap and pulls in no model."""

    name: str
    input: EventType
    output: EventType
    #: `module:function` taking (`Inference`, `Settings`) and giving a `Pipeline`; imported by workers only.
    pipeline: str
    #: The result table. Its migrations create it with the columns that `services.storage.results` documents.
    table: str
    #: Folder of numbered SQL files, run under the capability's name.
    migrations: Path
    #: Triton models that must be ready before a worker of this capability is.
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """The table's name goes into SQL text, so it must be an identifier and nothing else."""
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.table):
            raise ConfigurationError(f"capability {self.name}: {self.table!r} is not a table name")

    def load_pipeline(self) -> Callable[[Any, Settings], Pipeline]:
        """Import the pipeline's factory."""
        factory: Callable[[Any, Settings], Pipeline] = _resolve(self.pipeline)
        return factory


def load_capabilities(settings: Settings) -> dict[str, Capability]:
    """The registry's capabilities, or those of `TIDEGATE_CAPABILITIES`, by name.

    Raises:
        ConfigurationError: a name cannot be imported, is not a capability, or two share a name or an input topic.
    """
    found: dict[str, Capability] = {}
    for reference in settings.capabilities or REGISTRY:
        capability = _resolve(reference)
        if not isinstance(capability, Capability):
            raise ConfigurationError(f"TIDEGATE_CAPABILITIES: {reference} is not a Capability")
        taken = [c for c in found.values() if capability.name == c.name or capability.input.topic == c.input.topic]
        if taken:
            raise ConfigurationError(
                f"capabilities {taken[0].name} and {capability.name} share a name or an input topic"
            )
        found[capability.name] = capability
    return found


def _resolve(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"cannot load {reference!r} (expected module:attribute): {error}") from error
