"""Part 8: do the engine's deciding spans decide? The deletion test (DeYoung et al. 2020, "comprehensiveness") on flagged texts.

The span is deleted and the text scored again: the more the score falls, the more faithful the span. Beside it, spans of as many
tokens: random ones, and those of occlusion (leave each token out, take the run whose single drops sum highest), which costs one run
of the model per token. Only the strongest label of a text is judged, only texts of one short window, and only where something of
the text is left. Costs are CPU time of one text on one thread and depend on the machine; their ratio hardly does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.serving import Engine, EngineSettings, load_engine
from services.training.evaluation.metrics import Figure, bootstrap, mean

__all__ = ["FaithfulnessResult", "Probe", "best_run", "faithfulness"]

Score = Callable[[Sequence[str]], NDArray[np.float64]]

_LONGEST = 64
_RANDOM_SPANS = 5
#: A span of more than this share of the tokens leaves nothing to compare.
_LARGEST = 0.8
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """One flagged text: its strongest label's column, score, the engine's span, and the character spans of its tokens."""

    text: str
    column: int
    score: float
    span: tuple[int, int]
    tokens: tuple[tuple[int, int], ...]

    @property
    def chosen(self) -> tuple[int, int]:
        """The engine's span as a run of tokens (start, end)."""
        inside = [i for i, (start, end) in enumerate(self.tokens) if start < self.span[1] and end > self.span[0]]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)

    def without(self, run: tuple[int, int]) -> str:
        """The text with these tokens deleted."""
        first, last = self.tokens[run[0]][0], self.tokens[run[1] - 1][1]
        return self.text[:first] + self.text[last:]


@dataclass(frozen=True, slots=True)
class FaithfulnessResult:
    """Mean drop of the score when a span is deleted; `span_share` is the mean share of a text's tokens in its span."""

    texts: int
    not_judged: int  # flagged, but the span is nearly the whole text
    span_share: float
    evidence: Figure
    occlusion: Figure
    random: Figure
    evidence_us: float
    occlusion_us: float
    model_us: float  # the score itself, for comparison


def best_run(drops: Sequence[float], length: int) -> tuple[int, int]:
    """The run of `length` tokens whose drops sum highest."""
    sums = np.convolve(drops, np.ones(length), mode="valid")
    start = int(np.argmax(sums))
    return start, start + length


def faithfulness(
    folder: Path, texts: Sequence[str], limits: NDArray[np.float64], rounds: int
) -> FaithfulnessResult | None:
    """Judge the deciding spans of the engine in `folder` on those `texts` that it flags; None when there are none."""
    engine = load_engine(folder)
    probes = _probes(engine, texts, limits, folder)
    judged = [p for p in probes if 0 < p.chosen[1] - p.chosen[0] <= _LARGEST * len(p.tokens)]
    if not judged:
        return None

    def score(changed: Sequence[str]) -> NDArray[np.float64]:
        return engine.infer(list(changed)).scores.astype(np.float64)

    occlusion_s, drops = 0.0, []
    for probe in judged:
        began = time.process_time()
        alone = score([probe.without((i, i + 1)) for i in range(len(probe.tokens))])[:, probe.column]
        run = best_run(list(probe.score - alone), probe.chosen[1] - probe.chosen[0])
        occlusion_s += time.process_time() - began
        drops.append(_drops(probe, run, score))
    evidence, occlusion, chance = np.array(drops).T
    model_us, evidence_us = _cost(folder, [probe.text for probe in judged])
    return FaithfulnessResult(
        texts=len(judged),
        not_judged=len(probes) - len(judged),
        span_share=float(np.mean([(p.chosen[1] - p.chosen[0]) / len(p.tokens) for p in judged])),
        evidence=bootstrap(mean, evidence, rounds=rounds),
        occlusion=bootstrap(mean, occlusion, rounds=rounds),
        random=bootstrap(mean, chance, rounds=rounds),
        evidence_us=evidence_us,
        occlusion_us=occlusion_s / len(judged) * 1e6,
        model_us=model_us,
    )


def _probes(engine: Engine, texts: Sequence[str], limits: NDArray[np.float64], folder: Path) -> list[Probe]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = engine.infer(list(texts))
    probes = []
    for row, text in enumerate(texts):
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        tokens = tuple((start, end) for start, end in offsets if end > start)
        over = found.scores[row] - limits
        column = int(np.argmax(over))
        if over[column] >= 0 and 2 <= len(tokens) <= _LONGEST:
            start, end = found.spans[row, column].tolist()
            probes.append(Probe(text, column, float(found.scores[row, column]), (start, end), tokens))
    return probes


def _drops(probe: Probe, occluded: tuple[int, int], score: Score) -> tuple[float, float, float]:
    """Drop of the score without the engine's span, without occlusion's, and the mean without random ones."""
    length = probe.chosen[1] - probe.chosen[0]
    randomness = random.Random(probe.text)
    starts = [randomness.randint(0, len(probe.tokens) - length) for _ in range(_RANDOM_SPANS)]
    runs = [probe.chosen, occluded, *((start, start + length) for start in starts)]
    left = probe.score - score([probe.without(run) for run in runs])[:, probe.column]
    return float(left[0]), float(left[1]), float(left[2:].mean())


def _cost(folder: Path, texts: list[str]) -> tuple[float, float]:
    """Microseconds a text costs the engine without looking for spans, and what looking for them adds."""
    times = []
    for settings in (EngineSettings(explain_from=2.0), EngineSettings()):
        engine = load_engine(folder, settings)
        engine.infer(texts)
        runs = []
        for _ in range(_REPEATS):
            began = time.process_time()
            engine.infer(texts)
            runs.append(time.process_time() - began)
        times.append(min(runs) / len(texts) * 1e6)
    return times[0], max(0.0, times[1] - times[0])
