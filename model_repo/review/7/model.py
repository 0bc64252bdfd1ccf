"""Triton's side of text review: TEXT in, SCORES and SPANS out. The work is done by `services.serving`.

All texts of the requests that Triton merged run as one batch. A batch that fails is tried again request by request, so that
only the request with the bad text fails; the caller then halves its batch to find it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from services.serving import EngineSettings, Scores, load_engine


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        """Compile the graphs, and refuse to serve under other label names than the configuration declares."""
        folder = Path(args["model_repository"]) / args["model_version"]
        parameters = json.loads(args["model_config"])["parameters"]
        self.engine = load_engine(folder, _settings(parameters.get("explain_from", {}).get("string_value")))
        declared = parameters["labels"]["string_value"].split(",")
        if tuple(declared) != self.engine.labels:
            raise pb_utils.TritonModelException(
                f"config.pbtxt declares the labels {declared}, the model has {list(self.engine.labels)}"
            )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request."""
        batches = [_texts(request) for request in requests]
        good = [batch for batch in batches if isinstance(batch, list)]
        try:
            scores = self.engine.infer([text for batch in good for text in batch]) if good else None
        except Exception:  # noqa: BLE001 - whatever it is, it must fail one request and not its neighbours
            return [self._alone(batch) for batch in batches]
        responses, start = [], 0
        for batch in batches:
            if isinstance(batch, list) and scores is not None:
                responses.append(_response(scores, start, start + len(batch)))
                start += len(batch)
            else:
                responses.append(batch)
        return responses

    def _alone(self, batch: Any) -> Any:
        if not isinstance(batch, list):
            return batch
        try:
            return _response(self.engine.infer(batch), 0, len(batch))
        except Exception as error:  # noqa: BLE001
            return _failure(f"the model fails on this batch: {type(error).__name__}")


def _settings(explain_from: str | None) -> EngineSettings | None:
    if explain_from is None:
        return None
    try:
        return EngineSettings(explain_from=float(explain_from))
    except ValueError:
        raise pb_utils.TritonModelException(
            f"config.pbtxt: explain_from is a score, for example 0.25, and not {explain_from!r}"
        ) from None


def _texts(request: Any) -> Any:
    """The texts of a request, or the response that refuses it."""
    values = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)
    try:
        return [value.decode("utf-8") for value in values]
    except UnicodeDecodeError:
        return _failure("TEXT is not UTF-8")


def _response(scores: Scores, start: int, end: int) -> Any:
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("SCORES", np.ascontiguousarray(scores.scores[start:end])),
            pb_utils.Tensor("SPANS", np.ascontiguousarray(scores.spans[start:end])),
        ]
    )


def _failure(message: str) -> Any:
    return pb_utils.InferenceResponse([], pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
