"""Which part of a text moved a score: from the tokens' own contributions to the logit.

The model's last step is the mean over its token states and one linear layer, so a label's logit is the mean of one number per
token (its state times the label's weights) plus a bias. The deciding span is the contiguous run of tokens whose contributions
exceed the text's average the most: the maximum-sum subarray (Kadane) of the contributions less a share of their spread. It costs
one small matrix product, and no further run of the model. How faithful it is beside occlusion is measured in the model card.
Pure: arrays in, positions out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["deciding_tokens"]

#: Of the standard deviation above the mean that a token must reach to extend a span: keeps spans to phrases.
_TIGHTNESS = 0.25


def deciding_tokens(contributions: NDArray[np.float32]) -> tuple[int, int]:
    """Start and end (exclusive) of the run of tokens that speaks most for the label; the whole text when all say the same.

    `contributions` has one number per token, special tokens left out.
    """
    if len(contributions) == 0:
        return (0, 0)
    gains = contributions - (contributions.mean() + _TIGHTNESS * contributions.std())
    if not (gains > 0).any():
        return (0, len(contributions))
    best, best_span, total, start = -np.inf, (0, len(contributions)), 0.0, 0
    for position, gain in enumerate(gains.tolist()):
        if total <= 0:
            total, start = 0.0, position
        total += gain
        if total > best:
            best, best_span = total, (start, position + 1)
    return best_span
