"""The shipped policy as an evaluation needs it: from which score a label flags, and which action a row of scores gets.

A sub-label that the policy does not name (`hate.sexism`) is judged at its parent's threshold; a label without one, at 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from services.review.policy import DEFAULT_POLICY, Policy, PolicyFile, load_policy
from services.training.data.labels import LABELS

__all__ = ["PolicyLevels", "load_levels"]


class PolicyLevels:
    """A policy and its `flag` thresholds. Made by `load_levels`."""

    def __init__(self, policy: Policy, flags: Mapping[str, float]) -> None:
        self.policy = policy
        self.flags = flags
        self.limits = np.array([flags[label] for label in LABELS])

    def actions(self, scores: NDArray[np.float64]) -> list[str]:
        """The action of each row of scores (n, L)."""
        # Rounded as the pipeline rounds before it judges.
        return [str(verdict.action) for verdict in self.policy.judge(LABELS, np.round(scores, 4))]

    def flagged(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which labels (n, L) reach their `flag` threshold."""
        return scores >= self.limits


def load_levels(path: Path = DEFAULT_POLICY) -> PolicyLevels:
    """The thresholds of a policy file.

    Raises:
        ConfigurationError: the file is no policy.
    """
    policy = load_policy(path)  # validates, with messages that name the field
    file = PolicyFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    flags: dict[str, float] = {}
    for label in LABELS:
        named = file.labels.get(label) or file.labels.get(label.split(".", maxsplit=1)[0])
        level = named.levels()[0] if named else 0.5
        flags[label] = level if np.isfinite(level) else 0.5
    return PolicyLevels(policy, flags)
