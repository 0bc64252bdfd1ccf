"""The best that the same engine does in process on the same cores: what the whole stack is compared with.

One process with one thread per core, each with an engine of its own, taking batches of texts from a common counter until none
is left. No Kafka, no Postgres, no server. The batch size that is best on this machine is found first.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from services.serving import EngineSettings, load_engine

__all__ = ["EnginePool"]

_BATCH_SIZES = (32, 64, 128, 256)
_START_PATIENCE_S = 240.0
#: No score is so high.
_NEVER = 2.0


class EnginePool:
    """Processes that are loaded and warm. A context manager.

    `explain` says whether they look for spans. `flagged` counts the texts of the last run that got one, or would have.
    """

    def __init__(self, model_folder: Path, *, explain: bool = True) -> None:
        self.flagged = 0
        settings = None if explain else EngineSettings(explain_from=_NEVER)
        context = multiprocessing.get_context("spawn")
        self._counter: Any = context.Value("q", 0)
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(len(os.sched_getaffinity(0))):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(str(model_folder), settings, theirs, self._counter), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        for pipe in self._pipes:
            if not pipe.poll(_START_PATIENCE_S):
                raise TimeoutError(f"an engine was not loaded within {_START_PATIENCE_S:.0f} s")
            pipe.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=20)
            if process.is_alive():
                process.kill()

    def best_batch_size(self, texts: Sequence[str]) -> int:
        """Of a few sizes, the one with the highest throughput; the first run of each shape is not counted."""
        self.run(texts, _BATCH_SIZES[0])
        return min(_BATCH_SIZES, key=lambda size: self.run(texts, size))

    def run(self, texts: Sequence[str], batch_size: int) -> float:
        """Score all texts; seconds of wall time."""
        batches = [list(texts[start : start + batch_size]) for start in range(0, len(texts), batch_size)]
        for pipe in self._pipes:
            pipe.send(batches)
        for pipe in self._pipes:
            pipe.recv()  # it has them
        self._counter.value = 0
        started = time.perf_counter()
        for pipe in self._pipes:
            pipe.send("go")
        self.flagged = sum(pipe.recv() for pipe in self._pipes)
        return time.perf_counter() - started


def _serve(folder: str, settings: EngineSettings | None, pipe: Connection, counter: Any) -> None:
    """The life of one process: load, then answer runs until the pipe closes."""
    limit = EngineSettings().explain_from
    engine = load_engine(Path(folder), settings)
    engine.infer(["ok"])
    pipe.send("loaded")
    try:
        while True:
            batches = pipe.recv()
            pipe.send("received")
            pipe.recv()
            flagged = 0
            while True:
                with counter.get_lock():
                    number = counter.value
                    counter.value += 1
                if number >= len(batches):
                    break
                flagged += int((engine.infer(batches[number]).scores >= limit).any(axis=1).sum())
            pipe.send(flagged)
    except EOFError:
        pass
