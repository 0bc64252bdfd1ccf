"""The whole stack with the shipped model: throughput beside the bare engine and transformers, latency, start, memory."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded import Stack, StackState
from services.capabilities import load_capabilities
from services.serving import MODEL_FILES
from services.training.versions import ModelFolder
from tests.load.engine_baseline import EnginePool
from tests.load.own_stack import settings_of
from tests.load.plan import Plan
from tests.load.processes import cpu_seconds, pss_bytes
from tests.load.rows import Row, fact, missing, target_row
from tests.load.texts import sample_texts
from tests.load.traffic import Traffic, review_records

__all__ = ["measure_full_stack"]

_CHECKOUT = Path(__file__).resolve().parents[2]
_REVIEW = ModelFolder.of(_CHECKOUT / "model_repo", "review")
_MODEL = _REVIEW.path / str(_REVIEW.live())

_ENGINE = "throughput of the stack ÷ the same engine in process"
_TRANSFORMERS = "throughput of the stack ÷ the transformers pipeline"
_ENGINE_TARGET, _TRANSFORMERS_TARGET = 0.85, 8.0
_P50_TARGET_MS, _P99_TARGET_MS = 60.0, 250.0
_START_TARGET_S = 30.0
_MEMORY_TARGET_GB = 4.0
_TRANSFORMERS_PATIENCE_S = 1800.0


@dataclass(slots=True)
class _Samples:
    """One entry per repeat."""

    stack: list[float] = field(default_factory=list)  # texts/s
    engine: list[float] = field(default_factory=list)
    scoring: list[float] = field(default_factory=list)  # the engine without spans
    flagged: list[float] = field(default_factory=list)  # share of the texts that have spans
    transformers: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    memory_gb: list[float] = field(default_factory=list)
    idle_cores: list[float] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    batch_size: int = 0
    transformers_report: dict[str, object] = field(default_factory=dict)


def measure_full_stack(folder: Path, plan: Plan, say: Callable[[str], None], *, transformers_python: Path) -> list[Row]:
    """Rows about the shipped model. The folder must have been started in before: its starts count as second ones."""
    absent = [name for name in MODEL_FILES if not (_MODEL / name).is_file()]
    if absent:
        why = f"{_MODEL.relative_to(_CHECKOUT)} lacks {', '.join(absent)}"
        return [missing(_ENGINE, "x", why, target=_ENGINE_TARGET, better="higher")]
    no_transformers = _why_no_transformers(transformers_python)
    samples = _Samples()
    for repeat in range(1, plan.repeats + 1):
        texts = sample_texts(plan.texts, seed=100 + repeat)
        say(f"the engine alone, repeat {repeat} of {plan.repeats}")
        _measure_engine(texts, samples)
        if not no_transformers:
            say(f"transformers alone, repeat {repeat} of {plan.repeats}")
            _measure_transformers(texts, plan, samples, transformers_python)
        say(f"the whole stack, repeat {repeat} of {plan.repeats}")
        _measure_stack(folder, texts, plan, samples)
    return _rows(plan, samples, no_transformers)


def _measure_engine(texts: list[str], samples: _Samples) -> None:
    with EnginePool(_MODEL) as engines:
        if not samples.batch_size:
            samples.batch_size = engines.best_batch_size(texts[: len(texts) // 2])
        engines.run(texts[: len(texts) // 5], samples.batch_size)
        samples.engine.append(len(texts) / engines.run(texts, samples.batch_size))
    with EnginePool(_MODEL, explain=False) as engines:
        engines.run(texts[: len(texts) // 5], samples.batch_size)
        samples.scoring.append(len(texts) / engines.run(texts, samples.batch_size))
        samples.flagged.append(engines.flagged / len(texts))


def _measure_transformers(texts: Sequence[str], plan: Plan, samples: _Samples, transformers_python: Path) -> None:
    known = samples.transformers_report.get("batch_size")
    request = {
        "texts": texts[: plan.transformers_texts],
        "batch_sizes": [known] if known else plan.transformers_batch_sizes,
    }
    finished = subprocess.run(
        [str(transformers_python), str(Path(__file__).with_name("transformers_baseline.py")), str(_MODEL)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        timeout=_TRANSFORMERS_PATIENCE_S,
    )
    report = json.loads(finished.stdout)
    samples.transformers.append(report["texts_per_s"])
    samples.transformers_report = samples.transformers_report or report


def _measure_stack(folder: Path, texts: Sequence[str], plan: Plan, samples: _Samples) -> None:
    stack = Stack(folder)
    try:
        started = time.monotonic()
        state = stack.up()
        samples.start_s.append(time.monotonic() - started)
        settings = settings_of(state)
        with Traffic(settings, load_capabilities(settings)["review"]) as traffic:
            warm_up = sample_texts(max(1, len(texts) // 5), seed=99)
            traffic.burst(review_records(warm_up))
            samples.stack.append(len(texts) / traffic.burst(review_records(texts)))
            delays = sorted(traffic.trickle(review_records(texts[: plan.trickled]), plan.per_second))
            samples.p50_ms.append(_percentile(delays, 0.50) * 1000)
            samples.p99_ms.append(_percentile(delays, 0.99) * 1000)
        _measure_rest(state, plan, samples)
    finally:
        stack.down()


def _measure_rest(state: StackState, plan: Plan, samples: _Samples) -> None:
    """After the work, when all that grows has grown."""
    before, since = cpu_seconds(state), time.monotonic()
    time.sleep(plan.rest_s)
    after, seconds = cpu_seconds(state), time.monotonic() - since
    used = sum(after[kind] - before.get(kind, 0.0) for kind in after if kind != "bench")
    samples.idle_cores.append(used / seconds)
    samples.memory = pss_bytes(state)
    samples.memory_gb.append(sum(samples.memory.values()) / 1e9)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def _why_no_transformers(python: Path) -> str:
    if not python.is_file():
        return f"there is no {python}; make it with `make train-env`"
    return ""


def _rows(plan: Plan, samples: _Samples, no_transformers: str) -> list[Row]:
    to_engine = [mine / theirs for mine, theirs in zip(samples.stack, samples.engine, strict=True)]
    note = f"{plan.texts:,} texts, engine at batches of {samples.batch_size}"
    rows = [target_row(_ENGINE, "x", to_engine, target=_ENGINE_TARGET, better="higher", note=note)]
    if no_transformers:
        rows.append(missing(_TRANSFORMERS, "x", no_transformers, target=_TRANSFORMERS_TARGET, better="higher"))
    else:
        ratios = [mine / theirs for mine, theirs in zip(samples.stack, samples.transformers, strict=True)]
        report = samples.transformers_report
        rows.append(
            target_row(
                _TRANSFORMERS,
                "x",
                ratios,
                target=_TRANSFORMERS_TARGET,
                better="higher",
                note=f"the pipeline at batches of {report['batch_size']}, its best",
                report=report,
            )
        )
        rows.append(fact("  throughput: transformers pipeline", "texts/s", samples.transformers))
    low_load = f"{plan.trickled} events at {plan.per_second:.0f}/s"
    rows += [
        fact("  throughput: whole stack, durable and published", "texts/s", samples.stack),
        fact("  throughput: engine in process", "texts/s", samples.engine),
        fact("  share of the texts that are flagged, so that spans are looked for", "", samples.flagged),
        fact("  throughput: engine in process, scores without spans", "texts/s", samples.scoring),
        target_row("latency at low load, p50", "ms", samples.p50_ms, target=_P50_TARGET_MS, note=low_load),
        target_row("latency at low load, p99", "ms", samples.p99_ms, target=_P99_TARGET_MS, note=low_load),
        target_row("`tidegate up` until healthy, second start", "s", samples.start_s, target=_START_TARGET_S),
        target_row(
            "memory of the whole stack at rest",
            "GB",
            samples.memory_gb,
            target=_MEMORY_TARGET_GB,
            note="sum of PSS, after the work: " + _largest(samples.memory),
            bytes=samples.memory,
        ),
        fact("  CPU of the whole stack at rest", "cores", samples.idle_cores),
    ]
    return rows


def _largest(memory: dict[str, int]) -> str:
    ordered = sorted(memory.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{kind} {size / 1e6:.0f} MB" for kind, size in ordered[:3])
