"""Whether bf16 is worth asking for: on hardware without it, it is imitated and three times slower than float32 (measured 2026-11)."""

from __future__ import annotations

import torch

from services.serving.runtime import precision_here

__all__ = ["fast_bf16"]


def fast_bf16(device: torch.device) -> bool:
    """Whether `device` (a CUDA GPU or this CPU) has instructions for bf16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return precision_here() == "bf16"
