"""The kinds of processes that a stack has, and what can be done to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Act", "How", "Kind", "kind_of"]

Kind = Literal["dispatcher", "worker", "triton", "stub", "valkey", "postgres", "kafka"]
How = Literal["kill", "freeze", "flush"]


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that is done to one process: SIGKILL, SIGSTOP and later SIGCONT, or FLUSHALL."""

    kind: Kind
    how: How


def kind_of(process_name: str) -> Kind | None:
    """From the name in the stack's state, such as `worker-1` or `triton-stub:review`."""
    if process_name.startswith("triton-stub:"):
        return "stub"
    match process_name.partition("-")[0]:
        case "dispatcher" | "worker" | "triton" | "valkey" | "postgres" | "kafka" as kind:
            return kind
    return None
