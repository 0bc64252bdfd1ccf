"""What serving a version costs, beside another one: texts per second of processor time, and memory, each in its own process.

Both processes are up at the same time and work in turns, and processor time is counted and not the clock, so that what else the
machine does meets both alike; the middle of the rounds counts. Promises: an engine that cannot be loaded is an error with its
reason, which makes this the first real test of an exported folder; nothing of torch or Triton is needed. The figures are good
for a comparison, not for a brochure.

    python -m services.training.footprint FOLDER      # the measured process: reads "go" lines, answers with JSON lines
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from services.errors import ConfigurationError
from services.training.data.own_examples import EXAMPLES

__all__ = ["Footprint", "measure", "sample_texts"]

_ROUNDS = 5
_TEXTS = 96
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one version: texts per second of processor time, and megabytes of memory of the process that serves it."""

    texts_per_second: float
    memory_mb: float


def sample_texts(count: int = _TEXTS) -> list[str]:
    """Texts of both languages, the same on every machine: own examples, every eighth made long."""
    lines: list[str] = []
    for path in sorted(EXAMPLES.glob("*.txt")):
        rows = (line.partition(" | ")[2].strip() for line in path.read_text(encoding="utf-8").splitlines())
        texts = [text for text in rows if text]
        lines += texts[:: max(1, len(texts) // 16)][:16]
    chosen = [lines[place % len(lines)] for place in range(count)]
    return [" ".join([text] * 8) if place % 8 == 0 else text for place, text in enumerate(chosen)]


def measure(folders: list[Path], rounds: int = _ROUNDS) -> list[Footprint]:
    """One footprint per folder, measured side by side.

    Raises:
        ConfigurationError: the engine cannot load one of the folders; the message says which and why.
    """
    with _processes(folders) as running:
        for one in running:
            one.ready()
        seconds: list[list[float]] = [[] for _ in folders]
        for number in range(rounds):
            # Each begins as often as the other: the first after a pause finds a cooler processor.
            for place in range(len(running)) if number % 2 == 0 else reversed(range(len(running))):
                seconds[place].append(running[place].run())
        return [
            Footprint(_TEXTS / statistics.median(times), one.memory_mb())
            for times, one in zip(seconds, running, strict=True)
        ]


class _Measured:
    """One process that holds the engine of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", __name__ if __name__ != "__main__" else "services.training.footprint", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        self._answer()

    def run(self) -> float:
        """Seconds of processor time of one pass over the sample texts."""
        self._say("go")
        return self._answer()

    def memory_mb(self) -> float:
        self._say("memory")
        return self._answer()

    def _say(self, word: str) -> None:
        stdin = _open(self.process.stdin)
        stdin.write(word + "\n")
        stdin.flush()

    def _answer(self) -> float:
        line = _open(self.process.stdout).readline()
        if not line:
            lines = [text for text in _open(self.process.stderr).read().splitlines() if text.strip()]
            reason = lines[-1].strip() if lines else f"its process ended with {self.process.wait()}"
            raise ConfigurationError(f"the model in {self._folder} cannot be loaded: {reason[:300]}")
        return float(json.loads(line))


@contextmanager
def _processes(folders: list[Path]) -> Iterator[list[_Measured]]:
    running = [_Measured(folder) for folder in folders]
    try:
        yield running
    finally:
        for one in running:
            one.process.kill()
            one.process.communicate()


def _open(stream: IO[str] | None) -> IO[str]:
    if stream is None:  # never: all three are pipes
        raise ConfigurationError("the measured process has no pipe")
    return stream


def _serve(folder: Path) -> None:
    """The measured process."""
    from services.serving import load_engine

    engine = load_engine(folder)
    texts = sample_texts()
    batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
    for batch in batches:
        engine.infer(batch)
    _print(0.0)
    for line in sys.stdin:
        if line.strip() == "memory":
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            _print(pages * 4096 / 1e6)
            continue
        began = time.process_time()
        for batch in batches:
            engine.infer(batch)
        _print(time.process_time() - began)


def _print(number: float) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        _serve(Path(sys.argv[1]))
    except ConfigurationError as error:
        sys.exit(str(error))
