"""How much is measured, and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["FULL", "QUICK", "Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts of one repeat."""

    repeats: int
    #: Texts through the whole stack and through the bare engine.
    texts: int
    #: Texts through the transformers pipeline, which is slow.
    transformers_texts: int
    transformers_batch_sizes: tuple[int, ...]
    #: Messages through the null model, and the size of each on the wire.
    messages: int
    message_bytes: int
    #: Events at low load, and how many a second.
    trickled: int
    per_second: float
    #: Seconds of rest before memory and the CPU at rest are looked at.
    rest_s: float

    def with_repeats(self, repeats: int | None) -> Plan:
        """The same with another number of repeats."""
        return self if repeats is None else replace(self, repeats=repeats)


FULL = Plan(
    repeats=3,
    texts=3000,
    transformers_texts=600,
    transformers_batch_sizes=(1, 4, 8, 16, 32, 64),
    messages=20_000,
    message_bytes=500,
    trickled=500,
    per_second=20.0,
    rest_s=10.0,
)

QUICK = Plan(
    repeats=1,
    texts=128,
    transformers_texts=16,
    transformers_batch_sizes=(8,),
    messages=1000,
    message_bytes=500,
    trickled=20,
    per_second=20.0,
    rest_s=0.5,
)
