"""A null model: fixed scores below every threshold, but for the last label, which carries a mark of the text.

The mark, (crc32 of the text's bytes % 100) / 10,000, lets a checker see that a decision belongs to its text: a pipeline that
mixes up the rows of a batch is caught. Two texts make the model fail on purpose: `RAISE` raises, as a model does on an input
that it cannot digest; `EXIT` ends the process, as a crash in native code does.
"""

import os
from typing import Any
from zlib import crc32

import numpy as np
import triton_python_backend_utils as pb_utils

_LABELS = 11
_SCORES = np.linspace(0.01, 0.02, _LABELS, dtype=np.float32)


class TritonPythonModel:
    """TEXT string [n, 1] -> SCORES float32 [n, 11], SPANS int32 [n, 11, 2]."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request; a request with a bad text fails alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)
        if b"EXIT" in texts:
            os._exit(1)
        if b"RAISE" in texts:
            return pb_utils.InferenceResponse(
                [], pb_utils.TritonError("the text is refused", pb_utils.TritonError.INVALID_ARG)
            )
        scores = np.tile(_SCORES, (len(texts), 1))
        scores[:, -1] = [crc32(text) % 100 / 10_000 for text in texts]
        spans = np.zeros((len(texts), _LABELS, 2), dtype=np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", scores), pb_utils.Tensor("SPANS", spans)])
