"""What a model makes of one text, for a person at a terminal: scores as bars, the policy's action, and the words that decided.

Scores come from a running Triton or from an engine in this process; both give the same. In a terminal the deciding words are
coloured, in a pipe they stand in [brackets]. Promises: characters that a terminal would obey or not show are escaped; the text goes
nowhere but to standard output. The spans are the model's own account (see `services.serving.evidence`), not a proof of cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from services.cli.screen import ACTION_STYLES, printable
from services.errors import ConfigurationError, PermanentError
from services.inference import Inference
from services.review.policy import Policy

__all__ = ["Scored", "parts_of", "score_by_engine", "score_by_triton", "show"]

_BAR = 24
#: Code points shown before and after a deciding span of a long text.
_AROUND = 200


@dataclass(frozen=True, slots=True)
class Scored:
    """One text's scores (0..1) and deciding spans (code points, end exclusive), one of each per label, and who gave them."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    spans: tuple[tuple[int, int], ...]
    model: str


def score_by_engine(folder: Path, text: str) -> Scored:
    """By the exported model in `folder`, in this process.

    Raises:
        ConfigurationError: the folder holds no complete model.
    """
    from services.serving import load_engine

    found = load_engine(folder).infer([text])
    return _scored(found.labels, found.scores[0], found.spans[0], f"{folder}, in this process")


def score_by_triton(inference: Inference, model: str, text: str) -> Scored:
    """By the version that a Triton server serves.

    Raises:
        TransientError, ConfigurationError: the server does not answer or does not have the model.
    """
    labels = tuple(name.strip() for name in inference.parameters(model).get("labels", "").split(","))
    tensor = np.array([[text.encode()]], dtype=np.object_)
    try:
        answer = inference.infer(model, {"TEXT": tensor}, ("SCORES", "SPANS"))
    except PermanentError as error:
        raise ConfigurationError(f"the model fails on this text: {error}") from error
    scores, spans = (np.asarray(answer.outputs[name])[0] for name in ("SCORES", "SPANS"))
    if len(scores) != len(labels):
        raise ConfigurationError(f"model {model} names {len(labels)} labels and scores {len(scores)}")
    return _scored(labels, scores, spans, f"{model}, version {answer.version}, by Triton")


def _scored(labels: tuple[str, ...], scores: Iterable[Any], spans: Iterable[Any], model: str) -> Scored:
    # Rounded as the review pipeline rounds before it judges.
    rounded = tuple(round(float(score), 4) for score in scores)
    return Scored(labels, rounded, tuple((int(start), int(end)) for start, end in spans), model)


def show(text: str, scored: Scored, policy: Policy, console: Console) -> None:
    """Print everything to `console`."""
    verdict = policy.judge(scored.labels, np.array([scored.scores]))[0]
    action = str(verdict.action)
    line = Text.assemble((action, ACTION_STYLES.get(action, "")), f", severity {verdict.severity}")
    line.append(f"  policy {policy.id} {policy.version}; model {scored.model}", "dim")
    console.print(line, soft_wrap=True)
    width = max(map(len, scored.labels), default=0)
    for place in sorted(range(len(scored.labels)), key=lambda i: -scored.scores[i]):
        label, score = scored.labels[place], scored.scores[place]
        own = str(policy.judge((label,), np.array([[score]]))[0].action)
        filled = round(score * _BAR)
        row = Text(f"  {label:<{width}} ")
        row.append("█" * filled, ACTION_STYLES.get(own, ""))
        row.append("░" * (_BAR - filled), "dim")
        row.append(f" {score:.3f}" + ("" if own == "allow" else f" {own}"))
        console.print(row, soft_wrap=True)
    if not verdict.causes:
        console.print("no label reaches a threshold of the policy")
    for cause in verdict.causes:
        console.print(_marked(text, scored.labels[cause], scored.spans[cause], console), soft_wrap=True)


def _marked(text: str, label: str, span: tuple[int, int], console: Console) -> Text:
    line = Text.assemble((f"{label}: ", "bold"))
    for part, inside in parts_of(text, span):
        shown = printable(part)
        if inside and not console.is_terminal:
            shown = f"[{shown}]"
        line.append(shown, "bold reverse" if inside else "")
    return line


def parts_of(text: str, span: tuple[int, int], around: int = _AROUND) -> Iterator[tuple[str, bool]]:
    """The text around a span as (part, whether it is inside); what lies further away than `around` is an ellipsis."""
    start, end = max(0, span[0]), min(len(text), span[1])
    if start >= end:
        yield text[: 2 * around] + ("…" if len(text) > 2 * around else ""), False
        return
    first, last = max(0, start - around), min(len(text), end + around)
    before, after = text[first:start], text[end:last]
    if before:
        yield ("…" if first else "") + before, False
    yield text[start:end], True
    if after:
        yield after + ("…" if last < len(text) else ""), False
