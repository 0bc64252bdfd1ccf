"""A model server in memory that fails when it is told to; it passes the same contract as the real one.

It knows one model, `echo`, as `tests/integration/embedded/model_repo` has it: fixed scores, `RAISE` is refused, `EXIT` kills the
model's process, which `heal` starts again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.errors import (
    ConfigurationError,
    CrashSuspected,
    DeadLetterReason,
    PermanentError,
    TidegateError,
    TransientError,
)
from services.inference import Answer, Tensor

__all__ = ["FaultyInference"]

_SCORES = (0.01, 0.02, 0.03)


class FaultyInference:
    """See the module. `faults` are raised by the next calls of `infer`, in order."""

    def __init__(self, model: str = "echo", labels: str = "") -> None:
        self.faults: list[TidegateError | None] = []
        self.calls: list[list[str]] = []  # the texts of each call of `infer`
        self.away = False
        self.loaded = True
        self._model = model
        self._labels = labels
        self._alive = True

    def heal(self) -> None:
        """Start the model's process again."""
        self._alive = True

    def infer(self, model: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Answer:
        self._reach(model)
        if set(inputs) != {"TEXT"} or not set(outputs) <= {"SCORES", "SPANS"}:
            raise ConfigurationError(f"{model} has other tensors")
        if inputs["TEXT"].dtype != np.object_ or inputs["TEXT"].shape[1:] != (1,):
            raise ConfigurationError(f"{model} has other tensors")
        texts: list[Any] = inputs["TEXT"].reshape(-1).tolist()
        self.calls.append([text.decode() for text in texts])
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        if b"EXIT" in texts:
            self._alive = False
        if not self._alive:
            raise CrashSuspected(f"{model}: its process died")
        if b"RAISE" in texts:
            raise PermanentError(DeadLetterReason.MODEL_ERROR, f"{model}: the text is refused")
        found: dict[str, Tensor] = {
            "SCORES": np.tile(np.array(_SCORES, dtype=np.float32), (len(texts), 1)),
            "SPANS": np.zeros((len(texts), 3, 2), dtype=np.int32),
        }
        return Answer({name: found[name] for name in outputs}, "1")

    def parameters(self, model: str) -> Mapping[str, str]:
        self._reach(model)
        return {"labels": self._labels} if self._labels else {}

    def probe(self, model: str) -> None:
        self._reach(model)
        if not self._alive:
            raise CrashSuspected(f"{model}: its process is dead")

    def ready(self, models: Sequence[str]) -> str | None:
        if self.away:
            return "the server cannot be reached"
        missing = [model for model in models if model != self._model or not self.loaded]
        return f"it has not loaded: {', '.join(missing)}" if missing else None

    def _reach(self, model: str) -> None:
        if self.away:
            raise TransientError("the server is away")
        if model != self._model or not self.loaded:
            raise ConfigurationError(f"{model} is not loaded")
