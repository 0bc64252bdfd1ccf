"""What this CPU computes fastest, beside what the kernel says of it."""

from __future__ import annotations

from pathlib import Path

from services.serving.runtime import core, precision_here

_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def test_bf16_is_used_where_the_kernel_knows_an_instruction_for_it() -> None:
    flags = next(
        set(line.split()) for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")
    )
    assert precision_here() == ("bf16" if flags & _BF16_FLAGS else "f32")


def test_the_runtime_is_one_for_the_process() -> None:
    assert core() is core()
