"""Logits of many texts: by the trained torch model, and by the exported model through the serving engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from tokenizers import Tokenizer

from services.training.arithmetic import fast_bf16
from services.training.data.dataset import Item
from services.training.network import Classifier

__all__ = ["predict_served", "predict_torch", "targets_of"]

_BATCH = 64


def targets_of(items: Sequence[Item]) -> NDArray[np.float64]:
    """Targets (n, labels), NaN for unknown."""
    return np.array([item.targets for item in items], dtype=np.float64)


def predict_torch(
    model: Classifier, tokenizer: Tokenizer, texts: Sequence[str], width: int = 128, *, bf16: bool | None = None
) -> NDArray[np.float64]:
    """Logits (n, labels) of the trained model, computed where it lies; texts longer than `width` tokens are cut.

    `bf16` None uses it where the hardware has it.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(width)
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    tokenizer.no_truncation()
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    logits = np.zeros((len(ids), len(model.labels)))
    model.eval()
    device = next(model.parameters()).device
    with (
        torch.no_grad(),
        torch.autocast(device.type, torch.bfloat16, enabled=fast_bf16(device) if bf16 is None else bf16),
    ):
        for start in track(range(0, len(order), _BATCH), description="scoring", transient=True):
            part = order[start : start + _BATCH]
            longest = max(len(ids[i]) for i in part)
            tokens = torch.tensor([ids[i] + [1] * (longest - len(ids[i])) for i in part], device=device)
            mask = torch.tensor([[1] * len(ids[i]) + [0] * (longest - len(ids[i])) for i in part], device=device)
            logits[part] = model(tokens, mask).float().cpu().numpy()
    return logits


def predict_served(folder: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """Scores (n, labels) in 0..1 of an exported model, through the engine that serves it."""
    from services.serving import load_engine

    engine = load_engine(folder)
    scores = np.zeros((len(texts), len(engine.labels)))
    for start in track(range(0, len(texts), _BATCH), description="scoring", transient=True):
        scores[start : start + _BATCH] = engine.infer(list(texts[start : start + _BATCH])).scores
    return scores
