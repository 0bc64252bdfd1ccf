"""The part of RUN/metrics.json (what `tidegate evaluate` writes) that the gate compares."""

from __future__ import annotations

import math
from typing import Any

from services.errors import ConfigurationError
from services.training.gate import Figures, Reading

__all__ = ["figures_of"]


def figures_of(document: dict[str, Any]) -> Figures:
    """Raises ConfigurationError when a part is missing."""
    raise ConfigurationError(f"{math.nan} {Reading} {document}")
