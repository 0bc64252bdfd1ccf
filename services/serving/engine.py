"""Texts to label scores and deciding spans, on one CPU thread, as fast as these cores allow.

`load_engine(folder).infer(texts)` is the whole interface. Inside: one tokenizer call for the batch, an embedding lookup in
numpy, texts packed end to end (`packing`), one compiled OpenVINO graph per width, and pooling and the linear head in numpy.

* The embedding table stays out of the graphs, as int8 rows with a scale for each few columns: 23 MB once per process instead of
  once per graph.
* Graphs have static shapes: with dynamic ones each change of shape costs about 3 ms.
* The head is outside the graph, in float32: calibration is folded into it.
* Where a label's score is worth an explanation, parts of the window that decided it are packed and run like texts (`evidence`).
* A text is tokenised as it is; nothing cleans it first, so spans point into the text that the caller has.

An engine is not thread-safe. Use one per thread or process: OpenVINO releases the interpreter lock while it computes.
Every text gets a normal result, whatever its characters and length; a lone surrogate cannot be encoded and is the
caller's to reject.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.errors import ConfigurationError
from services.serving.evidence import CLOSING, deciding_tokens, ends_clause, parts_of, whole_words, worth_of_tokens
from services.serving.packing import Packer, Row
from services.serving.runtime import core, precision_here
from services.serving.windows import Span, character_spans, token_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DEFAULT_WIDTHS", "MODEL_FILES", "Engine", "EngineSettings", "Scores", "load_engine"]

#: Full rows go to the widest; the others serve what is left, and single texts. One instance stays below 600 MB with these.
DEFAULT_WIDTHS = (16, 32, 64, 96, 128)

MODEL_FILES = ("model.xml", "model.bin", "tables.npz", "tokenizer.json", "labels.json")

#: Of exports that do not say it.
_OLD_MATRIX_COLUMNS = 32

#: A text with more code points than this is tokenised with offsets at once: it will surely need several windows.
_SURELY_LONG = 1500


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How to compile. `cache` keeps compiled graphs between starts; `overlap` is in tokens.

    `precision` is OpenVINO's name of a type ("bf16", "f32"), None for the one that is fastest here.
    """

    widths: tuple[int, ...] = DEFAULT_WIDTHS
    threads: int = 1
    precision: str | None = None
    cache: Path | None = None
    overlap: int = 30
    #: Scores from which the deciding span is looked for; below, the whole window stands for it. No threshold that is chosen from
    #: data lies lower (`services/training/evaluation/thresholds.py`).
    explain_from: float = 0.25


@dataclass(frozen=True, slots=True)
class Scores:
    """Of n texts and L labels: `scores` float32 (n, L) in 0..1; `spans` int32 (n, L, 2), code points, end exclusive."""

    scores: NDArray[np.float32]
    spans: NDArray[np.int32]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Windows:
    """Token ids of each window, the text it is of, and its span of characters."""

    ids: list[list[int]]
    owners: list[int]
    spans: list[Span]


class Engine:
    """One compiled model. Made by `load_engine`."""

    def __init__(self, folder: Path, settings: EngineSettings) -> None:
        # The tokenizer's own thread pool would take the core of the neighbouring instance.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer

        self.settings = settings
        self.labels: tuple[str, ...] = tuple(json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        with np.load(folder / "tables.npz") as tables:
            self._rows: NDArray[np.int8] = tables["rows"]
            # (pieces, groups): each scale is of size / groups neighbouring columns.
            self._scales: NDArray[np.float32] = tables["scales"].astype(np.float32).reshape(len(self._rows), -1)
            self._positions: NDArray[np.float32] = tables["positions"].astype(np.float32)
            self._weights: NDArray[np.float32] = tables["head_weights"].astype(np.float32).T.copy()  # (d, L)
            self._bias: NDArray[np.float32] = tables["head_bias"].astype(np.float32)
            matrix_columns = int(tables["matrix_columns"]) if "matrix_columns" in tables else _OLD_MATRIX_COLUMNS
        self._first: int = _required(self._tokenizer.token_to_id("<s>"), "<s>")
        self._last: int = _required(self._tokenizer.token_to_id("</s>"), "</s>")
        #: Identifiers of pieces that end a clause.
        self._closing = {number for piece, number in self._tokenizer.get_vocab().items() if ends_clause(piece)}
        self._packer = Packer(settings.widths)
        self._capacity = self._packer.longest - 2
        options: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": settings.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": settings.precision or precision_here(),
            "ENABLE_CPU_PINNING": False,  # two instances would be pinned to the same core
            # Where a CPU has int8 products, activations are rounded as the model runs, with a scale for as many neighbours as
            # the weights have; without that a row takes 19.0 ms instead of 14.5 (measured 2026-11): docs/decisions/0011.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": matrix_columns,
        }
        if settings.cache is not None:
            settings.cache.mkdir(parents=True, exist_ok=True)
            options["CACHE_DIR"] = str(settings.cache)
        size = self._rows.shape[1]
        # Read once: graphs reshaped from one model share its constants, which saves 20 MB a graph.
        model = core().read_model(folder / "model.xml")
        self._graphs: dict[int, _Graph] = {}
        for width in self._packer.widths:
            model.reshape({"embeddings": [1, width, size], "segments": [1, width]})
            self._graphs[width] = _Graph(core().compile_model(model, "CPU", options), width, size)

    @property
    def window_tokens(self) -> int:
        """Tokens of one window, its two special tokens included."""
        return self._packer.longest

    def infer(self, texts: list[str]) -> Scores:
        """Score each text; a long one by the worst of its windows, per label."""
        windows = self._windows(texts)
        logits = self._logits(windows.ids)
        scores = np.full((len(texts), len(self.labels)), -1.0, np.float32)
        deciders = np.zeros(scores.shape, np.int64)  # the window that gave the score
        for window, text in enumerate(windows.owners):
            probabilities = 1.0 / (1.0 + np.exp(-logits[window]))
            better = np.flatnonzero(probabilities > scores[text])
            scores[text, better] = probabilities[better]
            deciders[text, better] = window
        spans = np.asarray(windows.spans, np.int32).reshape(-1, 2)[deciders]
        self._explain(texts, windows, deciders, scores >= self.settings.explain_from, spans)
        return Scores(scores, spans, self.labels)

    def _explain(
        self,
        texts: list[str],
        windows: _Windows,
        deciders: NDArray[np.int64],
        flagged: NDArray[np.bool_],
        spans: NDArray[np.int32],
    ) -> None:
        """Put the deciding spans of `flagged` (n, L) into `spans`: parts of their windows are scored alone, all in one go."""
        asked: dict[int, list[int]] = {}
        for text, column in np.argwhere(flagged).tolist():
            asked.setdefault(int(deciders[text, column]), []).append(column)
        parts = {window: parts_of([token in self._closing for token in windows.ids[window][1:-1]]) for window in asked}
        logits = self._logits(
            [
                # Without the token that ends a text: it costs more and shows no more (docs/decisions/0017).
                [self._first, *windows.ids[window][1 + start : 1 + end]]
                for window, of_window in parts.items()
                for start, end in of_window
            ]
        )
        done = 0
        for window, columns in asked.items():
            own = logits[done : done + len(parts[window])]
            done += len(parts[window])
            if len(own):
                text, whole = windows.owners[window], windows.spans[window]
                worth = worth_of_tokens(parts[window], own[:, columns])
                spans[text, columns] = self._deciding(texts[text], whole, worth)

    def _windows(self, texts: list[str]) -> _Windows:
        short = [i for i, text in enumerate(texts) if len(text) <= _SURELY_LONG]
        encodings = self._tokenizer.encode_batch_fast([texts[i] for i in short], add_special_tokens=False)
        encoded: dict[int, list[int]] = {i: e.ids for i, e in zip(short, encodings, strict=True)}
        found = _Windows([], [], [])
        for i, text in enumerate(texts):
            tokens = encoded.get(i)
            if tokens is not None and len(tokens) <= self._capacity:
                found.ids.append([self._first, *tokens, self._last])
                found.owners.append(i)
                found.spans.append((0, len(text)))
                continue
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            tokens = encoding.ids
            cuts = token_windows(len(tokens), self._capacity, self.settings.overlap)
            for start, end in cuts:
                found.ids.append([self._first, *tokens[start:end], self._last])
                found.owners.append(i)
            found.spans.extend(character_spans(cuts, encoding.offsets, len(text)))
        return found

    def _logits(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """Of each sequence of tokens, special ones included: (sequences, L)."""
        logits = np.zeros((len(ids), len(self.labels)), np.float32)
        for row in self._packer.pack([len(x) for x in ids]):
            logits[list(row.indexes)] = self._run(row, ids)
        return logits

    def _run(self, row: Row, ids: list[list[int]]) -> NDArray[np.float32]:
        """Logits (sequences of the row, L)."""
        graph = self._graphs[row.width]
        lengths = [len(ids[i]) for i in row.indexes]
        starts = [0, *np.cumsum(lengths).tolist()]
        used = starts[-1]
        tokens = np.fromiter((t for i in row.indexes for t in ids[i]), np.int64, used)
        scales = self._scales[tokens, :, None]
        grouped = (used, scales.shape[1], -1)
        np.multiply(self._rows[tokens].reshape(grouped), scales, out=graph.embeddings[0, :used].reshape(grouped))
        graph.segments.fill(-1.0)  # what is left over sees only itself; stale values behind `used` touch nobody
        for segment, (start, end) in enumerate(pairwise(starts)):
            graph.embeddings[0, start:end] += self._positions[: end - start]
            graph.segments[0, start:end] = segment
        sums = np.add.reduceat(graph.run()[0, :used], starts[:-1], axis=0)
        logits: NDArray[np.float32] = sums / np.asarray(lengths, np.float32)[:, None] @ self._weights + self._bias
        return logits

    def _deciding(self, text: str, whole: Span, worth: NDArray[np.float32]) -> list[Span]:
        """Character spans inside the window, one per column of `worth` (tokens, labels)."""
        first, last = whole
        offsets = self._tokenizer.encode(text[first:last], add_special_tokens=False).offsets
        if len(offsets) != len(worth):  # a window of a long text may be cut otherwise when it stands alone
            return [whole] * worth.shape[1]
        spans: list[Span] = []
        for column in range(worth.shape[1]):
            start, end = deciding_tokens(worth[:, column])
            begin, stop = (offsets[start][0], offsets[end - 1][1]) if end > start else (0, last - first)
            while begin < stop and (text[first + begin].isspace() or text[first + begin] in CLOSING):
                begin += 1  # to the tokenizer, the blank before a word is a part of it
            spans.append(whole_words(text, first + begin, first + stop) if stop > begin else whole)
        return spans


def _required(identifier: int | None, piece: str) -> int:
    if identifier is None:
        raise ConfigurationError(f"the tokenizer has no piece {piece}: tokenizer.json is not this model's")
    return identifier


class _Graph:
    """A compiled graph with its own input buffers, which OpenVINO reads in place."""

    def __init__(self, compiled: Any, width: int, size: int) -> None:
        import openvino

        self.embeddings: NDArray[np.float32] = np.zeros((1, width, size), np.float32)
        self.segments: NDArray[np.float32] = np.zeros((1, width), np.float32)
        self._request = compiled.create_infer_request()
        self._request.set_tensor("embeddings", openvino.Tensor(self.embeddings, shared_memory=True))
        self._request.set_tensor("segments", openvino.Tensor(self.segments, shared_memory=True))
        self.run()  # the first run allocates

    def run(self) -> NDArray[np.float32]:
        """Token states (1, width, d); valid until the next run."""
        self._request.infer()
        result: NDArray[np.float32] = self._request.get_output_tensor(0).data
        return result


def load_engine(folder: Path, settings: EngineSettings | None = None) -> Engine:
    """Compile the model in `folder` (the files of `MODEL_FILES`).

    Raises:
        ConfigurationError: a file is missing; the message names it.
    """
    for name in MODEL_FILES:
        if not (folder / name).is_file():
            raise ConfigurationError(f"model file {folder / name} is missing: fetch the model again, or export it")
    return Engine(folder, settings or EngineSettings())
