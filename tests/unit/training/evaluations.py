"""A metrics document of few figures, as `tidegate evaluate` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["document"]


def document(served: Mapping[str, str], quality: float = 0.9, **changes: Any) -> dict[str, Any]:
    """All figures are `quality` with an interval of 0.02 to both sides, errors and false positives 0.01; `changes` replace fields."""
    good = {"value": quality, "low": quality - 0.02, "high": quality + 0.02, "positives": 100, "negatives": 100}
    error = {"value": 0.01, "low": 0.0, "high": 0.02, "positives": 100, "negatives": 100}
    unknown = {"value": None, "low": None, "high": None, "positives": 0, "negatives": 100}
    return {
        "format": 1,
        "suite": "standard",
        "served": dict(served),
        "policy": {"id": "default", "version": "p1", "flags": {"hate": 0.5}},
        "data": {"sha256": "d1", "test": 200},
        "labels": [
            {"label": "hate", "language": "zh", "auroc": good, "f1": good, "ece": error, "threshold": 0.5},
            {"label": "spam", "language": "en", "auroc": unknown, "f1": unknown, "ece": unknown, "threshold": 0.5},
        ],
        "tasks": [{"name": "cold", "metrics": {"accuracy": good}}],
        "functional": {"by_language": {"zh": good}, "behaviours": []},
        "identity": [{"language": "zh", "false_positives": error, "spread": 0.01}],
        "evasions": [{"evasion": "leet", "language": "en", "recall_after": good}],
        "look_alikes": [{"name": "safe prompts", "false_positives": error}],
        **changes,
    }
