"""What a checkpoint belongs to: the settings, the very texts and targets, and the weights that training started from.

Promises: a checkpoint is continued only by a run that would have come to it by itself, and what differs is named. Where the texts are
and how they were read does not matter, only which tokens and targets came of it. A checkpoint written before there were digests is
compared by its settings and its number of texts alone. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

__all__ = ["differences", "digest_of_texts", "digest_of_weights", "without_digests"]

#: Digests in an identity, and how a person calls what they stand for.
_DIGESTS = {"content": "the training texts or their labels", "start": "the model to start from"}


def digest_of_texts(ids: Sequence[Sequence[int]], targets: Tensor) -> str:
    """Of the tokens of every text in their order, and its targets (n, labels)."""
    digest = hashlib.sha256()
    for tokens in ids:
        digest.update(len(tokens).to_bytes(4, "big") + np.asarray(tokens, np.int32).tobytes())
    digest.update(targets.contiguous().numpy())
    return digest.hexdigest()


def digest_of_weights(encoder: nn.Module) -> str:
    """Of the encoder only: a base model's head is drawn anew each time, and a served version's comes with its encoder."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def without_digests(kept: Mapping[str, object]) -> bool:
    """Whether this identity is of a checkpoint that cannot say what it was trained on."""
    return not all(name in kept for name in _DIGESTS)


def differences(kept: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Names of what is not as it was when the checkpoint was made."""
    return sorted(
        _DIGESTS.get(name, name)
        for name, value in now.items()
        if kept.get(name) != value and not (name in _DIGESTS and name not in kept)
    )
