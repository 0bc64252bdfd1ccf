"""A model that computes nothing: fixed scores and spans for every text; two texts make it fail on purpose.

`RAISE` raises, as a model does on an input that it cannot digest; `EXIT` ends the process, as a crash in native code does.
"""

import os
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

_SCORES = np.array([0.01, 0.02, 0.03], dtype=np.float32)


class TritonPythonModel:
    """TEXT string [n, 1] -> SCORES float32 [n, 3], SPANS int32 [n, 3, 2]."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request; a request with a bad text fails alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)
        if b"EXIT" in texts:
            os._exit(1)
        if b"RAISE" in texts:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("the text RAISE is refused"))
        scores = np.tile(_SCORES, (len(texts), 1))
        spans = np.zeros((len(texts), 3, 2), dtype=np.int32)
        return pb_utils.InferenceResponse(
            output_tensors=[pb_utils.Tensor("SCORES", scores), pb_utils.Tensor("SPANS", spans)]
        )
