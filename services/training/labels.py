"""The labels that this model learns, in the order of its outputs.

Of the taxonomy (toxicity, hate, harassment, sexual, violence, self_harm, illicit, fraud, spam, injection) only these have
licence-clean training data today, plus one sub-label that two sets annotate directly. The model does not output the others:
a score without training data would be a number without meaning. Rules and similarity cover them meanwhile.
"""

from __future__ import annotations

__all__ = ["LABELS", "NOT_LEARNED"]

LABELS: tuple[str, ...] = ("toxicity", "hate", "hate.sexism", "spam", "injection")

NOT_LEARNED: tuple[str, ...] = ("harassment", "sexual", "violence", "self_harm", "illicit", "fraud")
