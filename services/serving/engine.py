"""Texts to label scores, on one CPU thread, as fast as these cores allow.

`load_engine(folder).infer(texts)` is the whole interface. Inside: one tokenizer call for the batch, an embedding lookup in
numpy, the plan of `planner`, and one compiled OpenVINO graph per (batch, width).

* The embedding table stays out of the graphs, as int8 rows with one scale each: 22 MB once per process instead of once
  per graph.
* Graphs have static shapes: with dynamic ones each change of shape costs about 3 ms.
* A text is tokenised as it is; nothing cleans it first, so spans point into the text that the caller has.

An engine is not thread-safe. Use one per thread or process: OpenVINO releases the interpreter lock while it computes.
Every text gets a normal result, whatever its characters and length; a lone surrogate cannot be encoded and is the
caller's to reject.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.errors import ConfigurationError
from services.serving.planner import Planner, Shape
from services.serving.windows import Span, character_spans, token_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DEFAULT_SHAPES", "Engine", "EngineSettings", "Scores", "load_engine"]

#: One instance with these stays below 600 MB.
DEFAULT_SHAPES: tuple[Shape, ...] = (
    Shape(1, 16), Shape(1, 32), Shape(1, 64), Shape(1, 128),
    Shape(4, 32), Shape(4, 64), Shape(4, 128),
    Shape(16, 16), Shape(16, 32), Shape(16, 48), Shape(16, 64),
)  # fmt: skip

#: A text with more code points than this is tokenised with offsets at once: it will surely need several windows.
_SURELY_LONG = 1500


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How to compile. `cache` keeps compiled graphs between starts; `overlap` is in tokens."""

    shapes: tuple[Shape, ...] = DEFAULT_SHAPES
    threads: int = 1
    precision: str = "bf16"
    cache: Path | None = None
    overlap: int = 30
    call_cost: float = 10.0


@dataclass(frozen=True, slots=True)
class Scores:
    """Of n texts and L labels: `scores` float32 (n, L) in 0..1; `spans` int32 (n, L, 2), code points, end exclusive."""

    scores: NDArray[np.float32]
    spans: NDArray[np.int32]
    labels: tuple[str, ...]


class Engine:
    """One compiled model. Made by `load_engine`."""

    def __init__(self, folder: Path, settings: EngineSettings) -> None:
        # The tokenizer's own thread pool would take the core of the neighbouring instance.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import openvino
        from tokenizers import Tokenizer

        self.settings = settings
        description = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        self.labels: tuple[str, ...] = tuple(description["labels"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        with np.load(folder / "embeddings.npz") as table:
            self._rows: NDArray[np.int8] = table["rows"]
            self._scales: NDArray[np.float32] = table["scales"].astype(np.float32)
        self._first: int = _required(self._tokenizer.token_to_id("<s>"), "<s>")
        self._last: int = _required(self._tokenizer.token_to_id("</s>"), "</s>")
        self._planner = Planner(settings.shapes, settings.call_cost)
        self._capacity = self._planner.longest - 2
        core = openvino.Core()
        options: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": settings.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": settings.precision,
            "ENABLE_CPU_PINNING": False,  # two instances would be pinned to the same core
        }
        if settings.cache is not None:
            settings.cache.mkdir(parents=True, exist_ok=True)
            options["CACHE_DIR"] = str(settings.cache)
        self._calls: dict[Shape, _Graph] = {}
        for shape in self._planner.shapes:
            model = core.read_model(folder / "model.xml")
            model.reshape(
                {
                    "embeddings": [shape.batch, shape.width, self._rows.shape[1]],
                    "mask": [shape.batch, shape.width],
                }
            )
            self._calls[shape] = _Graph(core.compile_model(model, "CPU", options), shape, self._rows.shape[1])

    @property
    def window_tokens(self) -> int:
        """Tokens of one window, its two special tokens included."""
        return self._planner.longest

    def infer(self, texts: list[str]) -> Scores:
        """Score each text; a long one by the worst of its windows, per label."""
        ids, owners, spans = self._windows(texts)
        logits = self._run(ids)
        probabilities = 1.0 / (1.0 + np.exp(-logits))
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        decided = np.zeros((len(texts), len(self.labels), 2), np.int32)
        if len(ids) == len(texts):  # nothing is longer than a window
            scores[:] = probabilities
            decided[:, :, :] = np.asarray(spans, np.int32).reshape(len(texts), 1, 2)
            return Scores(scores, decided, self.labels)
        every_span = np.asarray(spans, np.int32)
        first = 0
        for text in range(len(texts)):
            end = first
            while end < len(owners) and owners[end] == text:
                end += 1
            worst = probabilities[first:end].argmax(axis=0)
            scores[text] = probabilities[first:end].max(axis=0)
            decided[text] = every_span[first:end][worst]
            first = end
        return Scores(scores, decided, self.labels)

    def _windows(self, texts: list[str]) -> tuple[list[list[int]], list[int], list[Span]]:
        """Token ids of each window, which text it is of, and its span."""
        short = [i for i, text in enumerate(texts) if len(text) <= _SURELY_LONG]
        encoded: dict[int, list[int]] = {
            i: encoding.ids
            for i, encoding in zip(
                short,
                self._tokenizer.encode_batch_fast([texts[i] for i in short], add_special_tokens=False),
                strict=True,
            )
        }
        ids: list[list[int]] = []
        owners: list[int] = []
        spans: list[Span] = []
        for i, text in enumerate(texts):
            tokens = encoded.get(i)
            if tokens is not None and len(tokens) <= self._capacity:
                ids.append([self._first, *tokens, self._last])
                owners.append(i)
                spans.append((0, len(text)))
                continue
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            tokens = encoding.ids
            windows = token_windows(len(tokens), self._capacity, self.settings.overlap)
            for start, end in windows:
                ids.append([self._first, *tokens[start:end], self._last])
                owners.append(i)
            spans += character_spans(windows, encoding.offsets, len(text))
        return ids, owners, spans

    def _run(self, ids: list[list[int]]) -> NDArray[np.float32]:
        logits = np.zeros((len(ids), len(self.labels)), np.float32)
        for call in self._planner.plan([len(x) for x in ids]):
            graph = self._calls[call.shape]
            graph.mask.fill(0)
            for row, index in enumerate(call.indexes):
                tokens = np.asarray(ids[index], np.int64)
                # Stale values behind a shorter row are masked, so they need no clearing.
                graph.embeddings[row, : len(tokens)] = self._rows[tokens] * self._scales[tokens, None]
                graph.mask[row, : len(tokens)] = 1
            graph.mask[len(call.indexes) :, 0] = 1  # an empty row must not divide by zero
            logits[list(call.indexes)] = graph.run()[: len(call.indexes)]
        return logits


def _required(identifier: int | None, piece: str) -> int:
    if identifier is None:
        raise ConfigurationError(f"the tokenizer has no piece {piece}: tokenizer.json is not this model's")
    return identifier


class _Graph:
    """A compiled graph with its own input buffers, which OpenVINO reads in place."""

    def __init__(self, compiled: Any, shape: Shape, size: int) -> None:
        import openvino

        self.embeddings: NDArray[np.float32] = np.zeros((shape.batch, shape.width, size), np.float32)
        self.mask: NDArray[np.float32] = np.zeros((shape.batch, shape.width), np.float32)
        self._request = compiled.create_infer_request()
        self._request.set_tensor("embeddings", openvino.Tensor(self.embeddings, shared_memory=True))
        self._request.set_tensor("mask", openvino.Tensor(self.mask, shared_memory=True))
        self.run()  # the first run allocates

    def run(self) -> NDArray[np.float32]:
        self._request.infer()
        result: NDArray[np.float32] = self._request.get_output_tensor(0).data
        return result


def load_engine(folder: Path, settings: EngineSettings | None = None) -> Engine:
    """Compile the model in `folder` (`model.xml`, `embeddings.npz`, `tokenizer.json`, `labels.json`).

    Raises:
        ConfigurationError: a file is missing; the message names it.
    """
    for name in ("model.xml", "model.bin", "embeddings.npz", "tokenizer.json", "labels.json"):
        if not (folder / name).is_file():
            raise ConfigurationError(f"model file {folder / name} is missing: fetch the model again, or export it")
    return Engine(folder, settings or EngineSettings())
