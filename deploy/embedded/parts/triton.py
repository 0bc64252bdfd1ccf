"""Triton Inference Server, the real `tritonserver` of `nvidia-pytriton`, with its Python backend.

Models are controlled explicitly: the server starts empty and the supervisor loads each folder (see `models`), so that one
broken model does not keep the others from serving. The package is left as it is: the stub, which it keeps in another place than the
backend wants, is copied with the backend into a folder of our own.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.layout import DataFolder
from deploy.embedded.parts.base import ProcessSpec, Say, package_folder
from deploy.embedded.ports import HOST
from deploy.embedded.preflight import debian_package
from deploy.embedded.probes import http_ok, port_open
from deploy.embedded.processes import run_tool
from deploy.embedded.shared_memory import remove_stale_regions
from deploy.embedded.stubs import STUB_BINARY, end_orphans
from services.errors import ConfigurationError

__all__ = ["Triton"]

_LOADER_TIMEOUT_S = 60
#: It keeps nothing and is stopped last, when nobody asks it any more: waiting for models to unload helps nobody.
_EXIT_TIMEOUT_S = 3


@dataclass(frozen=True, slots=True)
class Triton:
    """The server on three ports, serving every model folder below `repositories`."""

    folder: DataFolder
    http_port: int
    grpc_port: int
    metrics_port: int
    repositories: tuple[Path, ...]
    name: str = "triton"

    def prepare(self, say: Say) -> None:
        _check_numpy()
        for repository in self.repositories:
            if not repository.is_dir():
                raise ConfigurationError(f"the model repository {repository} does not exist: check --model-repository")
        package = _package()
        stub = package / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / STUB_BINARY
        if not stub.is_file():
            raise ConfigurationError(
                f"nvidia-pytriton has no stub for this Python {sys.version.split()[0]}: use Python 3.11"
            )
        say("placing the Python backend")
        target = self._backend
        target.mkdir(parents=True, exist_ok=True)
        for source in (*sorted((package / "backends" / "python").iterdir()), stub):
            if source.is_file():
                _copy_if_changed(source, target / source.name)
        self._check_shared_libraries(target / STUB_BINARY)

    def spec(self) -> ProcessSpec:
        package = _package()
        repositories = [f"--model-repository={repository}" for repository in self.repositories]
        command = (
            str(package / "bin" / "tritonserver"),
            *(repositories or [f"--model-repository={_empty_repository(self.folder)}"]),
            "--model-control-mode=explicit",
            f"--backend-directory={self.folder.triton / 'backends'}",
            f"--cache-directory={package / 'caches'}",
            f"--http-address={HOST}", f"--http-port={self.http_port}",
            f"--grpc-address={HOST}", f"--grpc-port={self.grpc_port}",
            f"--metrics-address={HOST}", f"--metrics-port={self.metrics_port}",
            "--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0",
            f"--exit-timeout-secs={_EXIT_TIMEOUT_S}", "--log-format=ISO8601",
        )  # fmt: skip
        return ProcessSpec(
            name=self.name,
            command=command,
            environment=_environment(),
            probe=self._answers,
            tidy=self._tidy,
            metrics=f"http://{HOST}:{self.metrics_port}/metrics",
            stop_patience_s=_EXIT_TIMEOUT_S + 2.0,
        )

    @property
    def _backend(self) -> Path:
        return self.folder.triton / "backends" / "python"

    def _tidy(self) -> None:
        """After what a killed server left behind: stubs that hang, then the memory that they shared with it."""
        end_orphans(self._backend / STUB_BINARY)
        remove_stale_regions()

    def _answers(self) -> None:
        http_ok(f"http://{HOST}:{self.http_port}/v2/health/live")  # "ready" is 400 while any model loads
        port_open(self.grpc_port)

    def _check_shared_libraries(self, stub: Path) -> None:
        """Let the dynamic loader judge: without arguments the stub only prints its usage."""
        _, output = run_tool(self.folder, [str(stub)], _environment(), timeout_s=_LOADER_TIMEOUT_S)
        marker = "error while loading shared libraries: "
        if marker in output:
            library = output.split(marker, 1)[1].split(":", 1)[0]
            raise ConfigurationError(
                f"Triton's Python backend needs the shared library {library}, which this machine lacks: "
                f"install it (Debian, Ubuntu: apt install {debian_package(library)})"
            )


def _package() -> Path:
    return package_folder("pytriton", "nvidia-pytriton") / "tritonserver"


def _environment() -> dict[str, str]:
    """The stub embeds the `python3` that it finds in PATH, and needs that Python's shared library and Triton's own."""
    environment = dict(os.environ)
    environment.pop("PYTHONHOME", None)
    libraries = [sysconfig.get_config_var("LIBDIR") or "", str(_package().parent.parent / "nvidia_pytriton.libs")]
    if environment.get("LD_LIBRARY_PATH"):
        libraries.append(environment["LD_LIBRARY_PATH"])
    environment["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
    # Not resolved: the `python3` beside this link belongs to the virtual environment, its target does not.
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
    return environment


def _check_numpy() -> None:
    """Numpy 2 breaks the backend silently: models load, then the first text aborts the process."""
    version = importlib.metadata.version("numpy")
    if int(version.split(".", 1)[0]) >= 2:
        raise ConfigurationError(
            f"numpy {version} is installed, and Triton's Python backend crashes with numpy 2: pip install 'numpy<2'"
        )


def _copy_if_changed(source: Path, target: Path) -> None:
    wanted = source.stat()
    if target.is_file() and target.stat().st_size == wanted.st_size and target.stat().st_mtime == wanted.st_mtime:
        return
    temporary = target.with_name(target.name + ".new")
    shutil.copy2(source, temporary)
    temporary.chmod(0o755)
    temporary.replace(target)


def _empty_repository(folder: DataFolder) -> Path:
    path = folder.triton / "no-models"
    path.mkdir(parents=True, exist_ok=True)
    return path
