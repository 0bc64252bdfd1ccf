"""One Triton for these tests, and for each test a model of its own in it: a copy of the echo model that may be told to fail."""

from __future__ import annotations

import itertools
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.embedded import read_state, running_parts
from services.inference import TritonInference
from services.settings import make_settings
from services.training.live import LiveTriton, triton_at
from services.training.versions import ModelFolder, VersionRecord, fingerprint

ECHO = Path(__file__).resolve().parents[1] / "embedded" / "model_repo" / "echo"

#: A version whose file says `broken` cannot be loaded, as one with a damaged graph; `silent` loads and gives no finite number.
_INITIALIZE = '''
    def initialize(self, args: dict[str, str]) -> None:
        """Read the version's own file."""
        path = os.path.join(args["model_repository"], args["model_version"], "word.txt")
        word = open(path).read() if os.path.exists(path) else "good"
        if word == "broken":
            raise RuntimeError("the graph is damaged")
        if word == "silent":
            global _SCORES
            _SCORES = _SCORES * np.float32("nan")
'''


@dataclass(frozen=True, slots=True)
class Place:
    """A model that Triton serves in version 1, and the way to both."""

    model: ModelFolder
    triton: LiveTriton
    grpc: str
    data: Path
    scratch: Path

    def served(self, word: str) -> tuple[Path, VersionRecord]:
        """An exported version whose file holds this word, and its record."""
        folder = self.scratch / f"served-{word}"
        folder.mkdir(exist_ok=True)
        (folder / "word.txt").write_text(word)
        files = {"word.txt": fingerprint(folder / "word.txt")}
        return folder, VersionRecord(model=self.model.name, files=files)

    def client(self) -> TritonInference:
        return TritonInference(make_settings(triton_grpc=self.grpc))


@pytest.fixture(scope="package")
def triton(scratch: Path, _own_environment: None) -> Iterator[tuple[Path, Path, str]]:
    """The data folder, the model repository, and the gRPC address."""
    data, repository = scratch / "promotion-data", scratch / "promotion-models"
    repository.mkdir()
    with running_parts(data, {"triton"}, model_repositories=[repository]) as environment:
        yield data, repository, environment["TIDEGATE_TRITON_GRPC"]


_numbers = itertools.count(1)


@pytest.fixture
def place(triton: tuple[Path, Path, str], tmp_path: Path) -> Place:
    """A model that no other test touches, served in version 1."""
    data, repository, grpc = triton
    name = f"echo{next(_numbers)}"
    folder = tmp_path / name
    shutil.copytree(ECHO, folder)
    (folder / "config.pbtxt").write_text((folder / "config.pbtxt").read_text().replace('"echo"', f'"{name}"'))
    code = folder / "1" / "model.py"
    code.write_text(code.read_text() + _INITIALIZE)
    shutil.move(folder, repository / name)
    state = read_state(data)
    assert state is not None
    assert state.endpoints.triton.http is not None
    server = triton_at(state.endpoints.triton.http)
    server.serve(name, 1)
    return Place(ModelFolder.of(repository, name), server, grpc, data, tmp_path)


@pytest.fixture
def unused_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        number: int = holder.getsockname()[1]
        return number
