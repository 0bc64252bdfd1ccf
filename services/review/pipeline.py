"""Review, first version: the model's label scores, judged by the policy, with the span that decided each label.

Promises: one outcome per text, in order; a text that makes the model fail is found by halving and rejected alone; scores are
rounded once, before judging, so that the stored score is the one that was judged. It does not normalise, match rules or cache
yet: those come between validation and the model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from services.capabilities import Outcome, Rejection, Result, WorkItem
from services.errors import ConfigurationError, DeadLetterReason, PermanentError
from services.inference import run_bisecting
from services.review.policy import Policy, load_policy
from services.telemetry import get_logger

if TYPE_CHECKING:
    from services.inference import Inference
    from services.settings import Settings

__all__ = ["MODEL", "ReviewPipeline", "build"]

_log = get_logger(__name__)

#: Name of the Triton model; its config's `labels` parameter names the columns of SCORES.
MODEL = "review"

#: Scores are published with this many decimals: finer digits differ between machines and mean nothing.
_DECIMALS = 4

_Scored = tuple[list[float], Any, str]  # rounded scores, spans [labels, 2], model version


class ReviewPipeline:
    """Thread-safe: holds a policy, a port and the label names of the live model version."""

    def __init__(self, inference: Inference, policy: Policy, max_text_length: int) -> None:
        self._inference = inference
        self._policy = policy
        self._max_text_length = max_text_length
        self._labels: dict[str, tuple[str, ...]] = {}  # model version → label names
        self._lock = threading.Lock()

    def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
        """See `Pipeline.run`."""
        outcomes: list[Outcome | None] = [None] * len(items)
        texts: list[str] = []
        places: list[int] = []
        for place, item in enumerate(items):
            length = len(item.data.text)
            if length > self._max_text_length:
                message = f"data.text has {length} code points; the limit is {self._max_text_length}"
                outcomes[place] = Rejection(DeadLetterReason.TEXT_TOO_LONG, message)
            else:
                texts.append(item.data.text)
                places.append(place)

        started = time.perf_counter()
        scored = run_bisecting(self._score, texts)
        model_ms = round((time.perf_counter() - started) * 1000, 1)

        good = [(place, s) for place, s in zip(places, scored, strict=True) if not isinstance(s, PermanentError)]
        for place, s in zip(places, scored, strict=True):
            if isinstance(s, PermanentError):
                outcomes[place] = Rejection(s.reason, str(s))
        if good:
            self._decide(items, good, outcomes, model_ms)
        return [outcome for outcome in outcomes if outcome is not None]

    def _score(self, texts: Sequence[str]) -> list[_Scored]:
        encoded = np.array([t.encode() for t in texts], dtype=np.object_).reshape(-1, 1)
        answer = self._inference.infer(MODEL, {"TEXT": encoded}, ("SCORES", "SPANS"))
        scores = np.round(np.asarray(answer.outputs["SCORES"], dtype=np.float64), _DECIMALS)
        if scores.shape[0] != len(texts) or not np.isfinite(scores).all():
            raise PermanentError(DeadLetterReason.MODEL_ERROR, f"model {MODEL} gave no finite score for every text")
        spans = answer.outputs["SPANS"]
        return [(row, span, answer.version) for row, span in zip(scores.tolist(), spans, strict=True)]

    def _decide(
        self,
        items: Sequence[WorkItem],
        scored: Sequence[tuple[int, _Scored]],
        outcomes: list[Outcome | None],
        model_ms: float,
    ) -> None:
        version = scored[0][1][2]
        labels = self._label_names(version, len(scored[0][1][0]))
        verdicts = self._policy.judge(labels, np.array([row for _, (row, _, _) in scored]))
        policy = {"id": self._policy.id, "version": self._policy.version}
        timings = {"model": model_ms}
        for (place, (row, spans, row_version)), verdict in zip(scored, verdicts, strict=True):
            data = items[place].data
            outcomes[place] = Result(
                {
                    "content_id": data.content_id,
                    "author_id": data.author_id,
                    "action": verdict.action,
                    "severity": verdict.severity,
                    "labels": dict(zip(labels, row, strict=True)),
                    "reasons": [_reason(labels[c], row[c], spans[c], len(data.text)) for c in verdict.causes],
                    "policy": policy,
                    "model": {"name": MODEL, "version": row_version},
                    "timings_ms": timings,
                }
            )

    def _label_names(self, version: str, columns: int) -> tuple[str, ...]:
        known = self._labels.get(version)
        if known is None:
            with self._lock:
                given = self._inference.parameters(MODEL).get("labels", "")
                known = tuple(name.strip() for name in given.split(",") if name.strip())
                self._labels = {**self._labels, version: known}
            unknown = sorted(self._policy.labels - set(known))
            if unknown:  # misspelt, or of another model: a policy may serve several
                what = "the policy has thresholds for labels that the model does not score"
                _log.warning(what, labels=unknown, scored=known)
        if len(known) != columns:
            self._labels = {}
            raise ConfigurationError(
                f"model {MODEL} names {len(known)} labels in its config's `labels` parameter and scores {columns}"
            )
        return known


def _reason(label: str, score: float, span: Any, length: int) -> dict[str, Any]:
    start, end = int(span[0]), int(span[1])
    spans = [{"start": start, "end": end}] if 0 <= start < end <= length else []
    return {"source": "model", "label": label, "score": score, "spans": spans}


def build(inference: Inference, settings: Settings) -> ReviewPipeline:
    """The pipeline a worker runs, with the default policy."""
    return ReviewPipeline(inference, load_policy(), settings.max_text_length)
