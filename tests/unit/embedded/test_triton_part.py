"""Triton's preparation: every reason why its Python backend could not run is found before it is started."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from deploy.embedded.layout import DataFolder
from deploy.embedded.parts import Triton
from deploy.embedded.stubs import STUB_BINARY
from services.errors import ConfigurationError


@pytest.fixture
def triton(tmp_path: Path) -> Triton:
    folder = DataFolder.at(tmp_path / "data")
    folder.create()
    return Triton(folder, 1, 2, 3, ())


def test_a_missing_shared_library_is_named_with_its_package(triton: Triton, tmp_path: Path) -> None:
    stub = tmp_path / "stub"
    stub.write_text(
        "#!/bin/sh\necho 'stub: error while loading shared libraries: libpython3.11.so.1.0: cannot open shared object "
        "file: No such file or directory' >&2\nexit 127\n"
    )
    stub.chmod(0o755)
    with pytest.raises(ConfigurationError) as caught:
        triton._check_shared_libraries(stub)
    assert str(caught.value) == (
        "Triton's Python backend needs the shared library libpython3.11.so.1.0, which this machine lacks: "
        "install it (Debian, Ubuntu: apt install libpython3.11)"
    )


def test_numpy_2_is_refused_because_it_breaks_the_backend_silently(
    triton: Triton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2.1.0")
    with pytest.raises(ConfigurationError, match=r"numpy 2\.1\.0 is installed.*pip install 'numpy<2'"):
        triton.prepare(_silent)


def test_a_model_repository_that_is_not_there_is_refused(triton: Triton, tmp_path: Path) -> None:
    missing = Triton(triton.folder, 1, 2, 3, (tmp_path / "none",))
    with pytest.raises(
        ConfigurationError, match=r"the model repository .*none does not exist: check --model-repository"
    ):
        missing.prepare(_silent)


def test_the_backend_is_placed_once_and_again_only_when_it_changes(triton: Triton) -> None:
    triton.prepare(_silent)
    stub = triton.folder.triton / "backends" / "python" / STUB_BINARY
    before = stub.stat()
    triton.prepare(_silent)
    assert stub.stat().st_ino == before.st_ino
    stub.write_bytes(b"cut off")
    triton.prepare(_silent)
    assert stub.stat().st_size == before.st_size


def _silent(_: str) -> None:
    """Tell nobody."""
