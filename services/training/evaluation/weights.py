"""How much each held-out text counts, so that a big data set or a big language does not decide for the others.

For one label, every language has the same total weight, and inside a language a source counts as the square root of its number
of texts with a known target: ten times more texts count about three times as much. Weights average 1 over the texts that count.
Pure: columns in, weights out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.training.data.dataset import Item

__all__ = ["balanced_weights"]


def balanced_weights(items: Sequence[Item], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (n, L) for targets (n, L); 0 where the target is not known (NaN)."""
    weights = np.zeros_like(targets)
    for column in range(targets.shape[1]):
        known = np.flatnonzero(~np.isnan(targets[:, column]))
        if not len(known):
            continue
        places = [(items[i].language, items[i].source) for i in known.tolist()]
        sizes = Counter(places)
        totals: Counter[str] = Counter()
        for (language, _), size in sizes.items():
            totals[language] += size**0.5
        weights[known, column] = [sizes[p] ** -0.5 / totals[p[0]] for p in places]
        weights[known, column] *= len(known) / weights[known, column].sum()
    return weights
