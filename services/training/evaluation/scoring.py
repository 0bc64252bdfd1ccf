"""Scores of many texts by the exported model, as the server computes them, in a few processes of one thread each.

Promises: what an engine alone gives, whatever the number of processes; a text is scored once, however many parts of an
evaluation ask for it; the texts stay in memory and go nowhere else. Two processes beat one with two threads on two cores.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.errors import ConfigurationError
from services.serving import MODEL_FILES, Engine, load_engine
from services.training.data.labels import LABELS

__all__ = ["Scorer", "encodable"]

_CHUNK = 256

#: What an advance of the progress bar is told: what is being scored, how many are done, of how many.
Watch = Callable[[str, int, int], None]


def encodable(text: str) -> str:
    """The text without lone surrogates, which no client can send."""
    return text.encode("utf-8", "replace").decode()


class Scorer:
    """`scorer(texts) -> scores (n, L)` in 0..1, columns as in `LABELS`. Use it in a `with` block; it holds processes.

    Raises:
        ConfigurationError: a model file is missing, or the model has other labels than the training data.
    """

    def __init__(self, folder: Path, *, processes: int = 2, watch: Watch | None = None) -> None:
        self._watch = watch or (lambda _what, _done, _total: None)
        self._known: dict[str, NDArray[np.float32]] = {}
        _check(folder)
        self._pool = ProcessPoolExecutor(
            processes, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(folder,)
        )

    def __call__(self, texts: Sequence[str], what: str = "texts") -> NDArray[np.float64]:
        wanted = [encodable(text) for text in texts]
        fresh = [text for text in dict.fromkeys(wanted) if text not in self._known]
        chunks = [fresh[i : i + _CHUNK] for i in range(0, len(fresh), _CHUNK)]
        jobs = {self._pool.submit(_score, chunk): chunk for chunk in chunks}
        done = 0
        self._watch(what, done, len(fresh))
        for job in as_completed(jobs):
            chunk = jobs[job]
            self._known.update(zip(chunk, job.result(), strict=True))
            done += len(chunk)
            self._watch(what, done, len(fresh))
        if not wanted:
            return np.zeros((0, len(LABELS)))
        return np.array([self._known[text] for text in wanted], dtype=np.float64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


_ENGINE: Engine | None = None


def _start(folder: Path) -> None:
    """Runs once in each process."""
    global _ENGINE  # noqa: PLW0603 - a process of the pool has no other place to keep its engine
    _ENGINE = load_engine(folder)


def _score(texts: list[str]) -> NDArray[np.float32]:
    if _ENGINE is None:
        raise RuntimeError("the process was not started by Scorer")
    return _ENGINE.infer(texts).scores


def _check(folder: Path) -> None:
    """Before processes are started: what one of them raises comes back without its sentence."""
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"{folder} holds no exported model ({', '.join(missing)} is missing): run `tidegate export` first, or name another "
            f"folder with --served"
        )
    if tuple(json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"]) != LABELS:
        raise ConfigurationError(f"{folder} scores other labels than the data has: train and export the model again")
