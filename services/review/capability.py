"""Review: a text comes in, a decision with its reasons goes out."""

from __future__ import annotations

from pathlib import Path

from services.capabilities import Capability
from services.events.content import CONTENT_DECIDED, CONTENT_SUBMITTED

__all__ = ["REVIEW"]

REVIEW = Capability(
    name="review",
    input=CONTENT_SUBMITTED,
    output=CONTENT_DECIDED,
    pipeline="services.review.pipeline:build",
    table="review_decision",
    migrations=Path(__file__).parent / "migrations",
    models=("review",),
)
