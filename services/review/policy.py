"""From label scores to an action: thresholds in one YAML file, versioned by its content.

Promises: the version is the hash of what the file says (comments and order do not count), so two decisions with the same
policy version were judged by the same thresholds; a mistake in a file is one message that names file and field, a key that is
there twice too. A label that the model does not score is only told (see `pipeline`). It does not yet know tenants, lists or rules.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.errors import ConfigurationError
from services.events.content import Action, Severity

__all__ = ["DEFAULT_POLICY", "LabelThresholds", "Policy", "PolicyFile", "Verdict", "load_policy"]

DEFAULT_POLICY = Path(__file__).parent / "policies" / "default.yaml"

#: Level of an action = how many of a label's thresholds its score reaches.
_ACTIONS = (Action.ALLOW, Action.FLAG, Action.REVIEW, Action.BLOCK)
_SEVERITIES = (Severity.NONE, Severity.LOW, Severity.MEDIUM, Severity.HIGH)


class _NoTwins(yaml.SafeLoader):
    """YAML takes the last of two equal keys without a word."""


def _mapping(loader: _NoTwins, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key, (place, _) in zip(keys, node.value, strict=True):
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", place.start_mark)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_NoTwins.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class LabelThresholds(BaseModel):
    """Scores from which a label flags, sends to review, or blocks. An action left out never happens for this label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flag: float | None = Field(None, ge=0, le=1)
    review: float | None = Field(None, ge=0, le=1)
    block: float | None = Field(None, ge=0, le=1)
    #: A block for this label is `critical` instead of `high`.
    critical: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> LabelThresholds:
        given = [t for t in (self.flag, self.review, self.block) if t is not None]
        if given != sorted(given):
            raise ValueError("thresholds must not fall: flag <= review <= block")
        return self

    def levels(self) -> tuple[float, float, float]:
        """The score from which each level holds; a level left out takes the next higher one's score."""
        block = self.block if self.block is not None else np.inf
        review = self.review if self.review is not None else block
        return (self.flag if self.flag is not None else review, review, block)


class PolicyFile(BaseModel):
    """What a policy file may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=100)
    labels: dict[str, LabelThresholds] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one text: action, severity, and the labels that caused it, worst first, as column numbers."""

    action: Action
    severity: Severity
    causes: tuple[int, ...]


class Policy:
    """A validated policy, ready to judge. Immutable."""

    def __init__(self, file: PolicyFile) -> None:
        self.id = file.id
        canonical = json.dumps(file.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        self.version = hashlib.sha256(canonical.encode()).hexdigest()[:12]
        self._labels = file.labels
        self._allow = Verdict(Action.ALLOW, Severity.NONE, ())

    @property
    def labels(self) -> frozenset[str]:
        """The labels that it has thresholds for."""
        return frozenset(self._labels)

    def judge(self, labels: tuple[str, ...], scores: npt.NDArray[np.float64]) -> list[Verdict]:
        """One verdict per row of `scores` (texts × labels, in 0..1). A label that the policy does not name never acts."""
        limits = np.full((len(labels), 3), np.inf)
        critical = np.zeros(len(labels), dtype=bool)
        for column, label in enumerate(labels):
            if label in self._labels:
                limits[column] = self._labels[label].levels()
                critical[column] = self._labels[label].critical
        levels = (scores[:, :, None] >= limits[None]).sum(axis=2)
        worst = levels.max(axis=1, initial=0)
        verdicts = [self._allow] * len(scores)
        for row in np.flatnonzero(worst):
            causes = sorted(np.flatnonzero(levels[row]), key=lambda c: (-levels[row, c], -scores[row, c]))
            level = int(worst[row])
            is_critical = level == 3 and any(critical[c] for c in causes if levels[row, c] == 3)
            severity = Severity.CRITICAL if is_critical else _SEVERITIES[level]
            verdicts[row] = Verdict(_ACTIONS[level], severity, tuple(int(c) for c in causes))
        return verdicts


def load_policy(path: Path = DEFAULT_POLICY) -> Policy:
    """Read and validate a policy file.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or does not say what a policy says; names file, line or field.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _NoTwins)  # noqa: S506 - a safe loader
        return Policy(PolicyFile.model_validate(content))
    except OSError as error:
        raise ConfigurationError(f"policy {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"policy {path} is not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"policy {path}: {problems}") from error
