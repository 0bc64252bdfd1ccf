"""Part 7: what quantisation changed. The exported int8 model beside the trained model in torch, float32, calibrated, same texts.

Only texts that fit one window are compared: torch cuts a longer one, the engine reads all of it. A decision is flipped when the
policy's action differs. Pure but for `torch_scores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.calibration import Calibration
from services.training.data.dataset import Item
from services.training.evaluation.metrics import Figure, share
from services.training.evaluation.sampling import take_items

__all__ = ["AgreementResult", "agree", "fitting_items", "torch_scores"]


@dataclass(frozen=True, slots=True)
class AgreementResult:
    """Differences of probabilities over texts and labels; `p99` is their 99th percentile."""

    texts: int
    mean_difference: float
    p99_difference: float
    max_difference: float
    #: Per label, the mean difference with its sign: positive where int8 scores higher.
    bias: dict[str, float]
    flipped: Figure


def fitting_items(items: Sequence[Item], tokenizer_file: Path, most: int, width: int = 128) -> list[Item]:
    """At most `most` items whose tokens fit one window of the engine, the sources taking turns."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    some = take_items(items, most * 2)
    lengths = [len(e.ids) for e in tokenizer.encode_batch_fast([i.text for i in some], add_special_tokens=False)]
    return [item for item, length in zip(some, lengths, strict=True) if length <= width - 2][:most]


def torch_scores(trained: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """Calibrated probabilities (n, L) of the trained folder in float32."""
    from services.training.network import load_classifier
    from services.training.predict import predict_torch

    model, tokenizer = load_classifier(trained)
    logits = Calibration.load(trained, model.labels).apply(predict_torch(model, tokenizer, texts, bf16=False))
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), np.float64)


def agree(
    labels: Sequence[str],
    served: tuple[NDArray[np.float64], Sequence[str]],
    trained: tuple[NDArray[np.float64], Sequence[str]],
    rounds: int,
) -> AgreementResult:
    """From (scores (n, L), actions) of the exported and of the trained model."""
    gaps = served[0] - trained[0]
    sizes = np.abs(gaps)
    flips = np.array([a != b for a, b in zip(served[1], trained[1], strict=True)])
    return AgreementResult(
        texts=len(gaps),
        mean_difference=float(sizes.mean()),
        p99_difference=float(np.percentile(sizes, 99)),
        max_difference=float(sizes.max()),
        bias={label: float(gaps[:, column].mean()) for column, label in enumerate(labels)},
        flipped=share(flips, rounds=rounds),
    )
