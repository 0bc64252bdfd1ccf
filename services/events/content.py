"""Content that people publish for review, and the decisions about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from services.events.times import Timestamp
from services.events.types import EventType, Identifier, WireModel

__all__ = [
    "CONTENT_DECIDED",
    "CONTENT_SUBMITTED",
    "INPUTS",
    "OUTPUTS",
    "Action",
    "ContentDecided",
    "ContentSubmitted",
    "ModelReference",
    "PolicyReference",
    "Reason",
    "ReasonSource",
    "Severity",
    "Span",
]


class Action(StrEnum):
    """What the platform should do with a content, mildest first."""

    ALLOW = "allow"
    FLAG = "flag"
    REVIEW = "review"
    BLOCK = "block"


class Severity(StrEnum):
    """How bad the worst finding is, mildest first."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ReasonSource(StrEnum):
    """Who found a reason."""

    MODEL = "model"
    RULE = "rule"
    SIMILARITY = "similarity"
    CACHE = "cache"
    HUMAN = "human"


#: A probability.
Score = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[float, Field(ge=0)]


class ContentSubmitted(WireModel):
    """A text to review. The text may be empty; its length limit is a setting, not part of the schema."""

    content_id: Identifier
    """The content's id in the system that published it."""
    author_id: Identifier
    """Who wrote it: the partition key, so that the texts of one author are taken in order."""
    text: str
    """The text as its author wrote it. Spans of decisions point into it."""
    language: Literal["zh", "en"] | None = None
    """Its main language, where the publisher knows it."""
    kind: Annotated[str, Field(max_length=1024)] | None = None
    """What it is, such as comment, title or biography."""
    attributes: dict[str, Any] | None = None
    """Anything else that rules may look at."""


class Span(WireModel):
    """A part of the original text, in Unicode code points, end exclusive."""

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]


class Reason(WireModel):
    """One finding that led to the action."""

    source: Annotated[ReasonSource, Field(strict=False)]
    """Who found it."""
    label: str | None = None
    """The label it speaks for."""
    score: Score | None = None
    """How sure its source is."""
    rule: str | None = None
    """The id of the rule or threshold that fired."""
    spans: list[Span] = Field(default_factory=list)
    """Where in the original text; empty where the whole text is meant."""


class PolicyReference(WireModel):
    """The policy that decided: its version is the hash of its content."""

    id: str
    version: str


class ModelReference(WireModel):
    """The model that scored."""

    name: str
    version: str


class ContentDecided(WireModel):
    """The decision about one content. It is published from the stored row: every copy of it is the same."""

    decision_id: Annotated[UUID, Field(strict=False)]
    """UUID version 5 of tenant, source, event id and pipeline: the same event always gets the same."""
    event_id: str
    """The id of the event that asked."""
    content_id: str
    author_id: str
    action: Annotated[Action, Field(strict=False)]
    severity: Annotated[Severity, Field(strict=False)]
    labels: dict[str, Score]
    """Score per label, 0 to 1. Sub-labels are dotted."""
    reasons: list[Reason]
    policy: PolicyReference
    model: ModelReference | None = None
    """Absent where no model was asked."""
    timings_ms: dict[str, Milliseconds] = Field(default_factory=dict)
    """How long each step took."""
    decided_at: Timestamp


CONTENT_SUBMITTED = EventType(topic="content.submitted", model=ContentSubmitted, key="author_id")
CONTENT_DECIDED = EventType(topic="content.decided", model=ContentDecided, key="author_id")

#: What Tidegate reads, and what it writes. `catalogue` finds these names.
INPUTS = (CONTENT_SUBMITTED,)
OUTPUTS = (CONTENT_DECIDED,)
