"""Copies of the echo model under other names, some of which cannot be loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["add_broken", "add_echo", "add_slow"]

_ECHO = Path(__file__).parent / "model_repo" / "echo"
_BROKEN = "raise RuntimeError('the weights are damaged')\n"


def add_echo(repository: Path, name: str, *, instances: int = 1) -> Path:
    """Add a model that works. It appears in one step, as a promoted one does."""
    return _add(repository, name, instances=instances)


def add_broken(repository: Path, name: str) -> Path:
    """Add a model whose code fails when it is loaded."""
    return _add(repository, name, first=_BROKEN)


def add_slow(repository: Path, name: str, *, seconds: int) -> Path:
    """Add a model that takes so long to load."""
    return _add(repository, name, first=f"import time\ntime.sleep({seconds})\n")


def _add(repository: Path, name: str, *, instances: int = 1, first: str = "") -> Path:
    fresh = repository.parent / f"{name}.new"
    shutil.copytree(_ECHO, fresh, ignore=shutil.ignore_patterns("__pycache__"))
    config = (fresh / "config.pbtxt").read_text()
    config = config.replace('name: "echo"', f'name: "{name}"').replace("count: 1", f"count: {instances}")
    (fresh / "config.pbtxt").write_text(config)
    code = fresh / "1" / "model.py"
    code.write_text(first + code.read_text())
    return fresh.rename(repository / name)
