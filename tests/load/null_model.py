"""What the platform itself costs: CPU per message with a model that computes nothing, process by process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from deploy.embedded import Stack, StackState
from services.capabilities import load_capabilities
from tests.load.own_stack import NULL_MODELS, settings_of
from tests.load.plan import Plan
from tests.load.processes import cpu_seconds
from tests.load.rows import Row, fact, target_row
from tests.load.texts import sample_texts
from tests.load.traffic import Record, Traffic, review_records

__all__ = ["measure_overhead"]

_TARGET_US = 100.0
#: The project's own processes, to which the target applies.
_OWN = ("dispatcher", "worker")
#: One message in so many goes ahead, so that caches and connections are warm.
_WARM_SHARE = 5


def measure_overhead(folder: Path, plan: Plan, say: Callable[[str], None]) -> list[Row]:
    """Rows about the null model."""
    say("starting the stack with the null model")
    stack = Stack(folder, model_repositories=(NULL_MODELS,))
    try:
        state = stack.up()
        settings = settings_of(state)
        with Traffic(settings, load_capabilities(settings)["review"]) as traffic:
            traffic.burst(_records(plan, plan.messages // _WARM_SHARE, seed=0))
            spent: list[dict[str, float]] = []
            rates: list[float] = []
            for repeat in range(1, plan.repeats + 1):
                say(f"{plan.messages:,} messages through the null model, repeat {repeat} of {plan.repeats}")
                seconds, used = _measure(traffic, _records(plan, plan.messages, seed=repeat), state)
                spent.append(used)
                rates.append(plan.messages / seconds)
    finally:
        stack.down()
    return _rows(plan, spent, rates)


def _measure(traffic: Traffic, records: list[Record], state: StackState) -> tuple[float, dict[str, float]]:
    """Wall seconds, and microseconds of CPU per message by kind."""
    before = cpu_seconds(state)
    seconds = traffic.burst(records)
    time.sleep(1.5)  # the commit of the last offsets belongs to the work
    after = cpu_seconds(state)
    return seconds, {kind: (after[kind] - before.get(kind, 0.0)) * 1e6 / len(records) for kind in after}


def _rows(plan: Plan, spent: list[dict[str, float]], rates: list[float]) -> list[Row]:
    own = [sum(used[kind] for kind in _OWN) for used in spent]
    rows = [
        target_row(
            "CPU per message without a model, dispatcher and worker",
            "µs",
            own,
            target=_TARGET_US,
            note=f"{plan.messages:,} messages of {plan.message_bytes} B",
        )
    ]
    kinds = sorted(spent[0], key=lambda kind: -spent[0][kind])
    notes = {"bench": "the benchmark's own publisher and consumer", "stubs": "the null model's process"}
    rows += [
        fact(f"  CPU per message: {kind}", "µs", [used[kind] for used in spent], note=notes.get(kind, ""))
        for kind in kinds
    ]
    rows.append(
        fact("throughput without a model", "messages/s", rates, note="all processes and the benchmark share the cores")
    )
    return rows


def _records(plan: Plan, count: int, seed: int) -> list[Record]:
    """Events of exactly the wanted size where their text allows it: short texts are filled up."""
    records = []
    for record in review_records(sample_texts(count, seed)):
        gap = plan.message_bytes - len(record.value)
        value = record.value
        if gap > 0:
            head, tail = value[:-3], value[-3:]  # ...text"}}
            value = head + b" " * gap + tail
        records.append(Record(record.event_id, record.key, value))
    return records
