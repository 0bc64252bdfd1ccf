"""A real Triton with null models: `echo` as the embedded stack's tests have it, and `review`, which is `echo` with label names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.embedded import read_state, running_parts

__all__ = ["NullTriton", "running_triton"]

_ECHO = Path(__file__).resolve().parents[1] / "embedded" / "model_repo" / "echo"
_LABELS = 'parameters { key: "labels" value { string_value: "toxicity,spam,fraud" } }\n'


@dataclass(frozen=True, slots=True)
class NullTriton:
    """Where it answers, and how to get at its processes."""

    grpc: str
    folder: Path

    def processes(self) -> list[psutil.Process]:
        """The server and the models' processes."""
        state = read_state(self.folder)
        assert state is not None
        (pid,) = (process.pid for process in state.processes if process.name == "triton")
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]

    @contextmanager
    def unsupervised(self) -> Iterator[None]:
        """Nobody notices or heals anything during the block."""
        state = read_state(self.folder)
        assert state is not None
        supervisor = psutil.Process(state.supervisor_pid)
        supervisor.suspend()
        try:
            yield
        finally:
            supervisor.resume()

    def healthy(self) -> bool:
        """Whether every model answers."""
        state = read_state(self.folder)
        return state is not None and state.healthy and all(model.healthy for model in state.models)


@contextmanager
def running_triton(folder: Path, *, instances: int = 1) -> Iterator[NullTriton]:
    """The server and its supervisor for the time of the block; `echo` has so many processes."""
    repository = folder / "models"
    repository.mkdir(parents=True)
    for name in ("echo", "review"):
        shutil.copytree(_ECHO, repository / name)
        config = repository / name / "config.pbtxt"
        config.write_text(config.read_text().replace('name: "echo"', f'name: "{name}"', 1))
    config = repository / "echo" / "config.pbtxt"
    config.write_text(config.read_text().replace("count: 1", f"count: {instances}"))
    with (repository / "review" / "config.pbtxt").open("a") as config_file:
        config_file.write(_LABELS)
    with running_parts(folder / "stack", {"triton"}, model_repositories=[repository]) as environment:
        yield NullTriton(environment["TIDEGATE_TRITON_GRPC"], folder / "stack")
