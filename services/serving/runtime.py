"""OpenVINO in this process, and what this CPU computes fastest.

Promises: one `Core` per process; `precision_here` names a type that the CPU has instructions for. A CPU without bf16 can be told to
use it all the same, and OpenVINO and torch then imitate it: a row of 128 tokens took 131 ms instead of 30 on a Xeon with AVX-512 VNNI
and without bf16 (measured 2026-11, docs/decisions/0012).
"""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["core", "precision_here"]


@cache
def core() -> Any:
    """OpenVINO, once per process, for as long as the process lives.

    Each `Core` sets a stack for signal handlers and puts the one before back when it goes. Two that overlap and go in the order in
    which they came leave a stack that is unmapped, and the next signal (Ctrl-C) ends the process with SIGSEGV (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def precision_here() -> str:
    """OpenVINO's name of it: "bf16" where the CPU has that (AVX-512 BF16, AMX), else "f32"."""
    return "bf16" if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
