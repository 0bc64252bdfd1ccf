"""What the pipelines ask of a model server: named tensors in, named tensors out. The one seam a fault may be injected at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Answer", "Inference", "Tensor"]

Tensor = npt.NDArray[np.generic] | npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Answer:
    """Output tensors by name, and the version of the model that computed them."""

    outputs: Mapping[str, Tensor]
    version: str


class Inference(Protocol):
    """A model server. Thread-safe."""

    def infer(self, model: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Answer:
        """Run one request; the first axis of every tensor is the batch.

        Raises:
            TransientError: the server is away, full or slow; nothing is known to be wrong with the input.
            CrashSuspected: the server's process died while this request ran.
            PermanentError: the server refuses this input (`MODEL_ERROR`); with several items, at least one is the cause.
            ConfigurationError: there is no such model, or it has no such tensors.
        """

    def parameters(self, model: str) -> Mapping[str, str]:
        """The string parameters of the model's configuration, for example its label names.

        Raises:
            TransientError, ConfigurationError: as `infer`.
        """

    def probe(self, model: str) -> None:
        """Real inferences on a harmless input (an empty text, zeros), since readiness does not notice a dead process.

        Enough of them that every process of the model has most likely answered one.

        Raises:
            TransientError, CrashSuspected, ConfigurationError: as `infer`; the model does not answer.
        """

    def ready(self, models: Sequence[str]) -> str | None:
        """None when every model is loaded, else one sentence saying what is missing. Never raises."""
