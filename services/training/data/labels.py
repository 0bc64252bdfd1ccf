"""The labels of the review model, in the order of its outputs. `docs/labels.md` says what each one means."""

from __future__ import annotations

__all__ = ["LABELS", "benign"]

LABELS: tuple[str, ...] = (
    "toxicity",
    "hate",
    "hate.sexism",
    "harassment",
    "sexual",
    "violence",
    "self_harm",
    "illicit",
    "fraud",
    "spam",
    "injection",
)


def benign() -> dict[str, float]:
    """Targets of a text to which no label applies."""
    return dict.fromkeys(LABELS, 0.0)
