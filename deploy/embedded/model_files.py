"""What lies in a model repository: the model folders, and a fingerprint of each version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Fingerprints", "find_models"]


def find_models(repositories: Iterable[Path]) -> dict[str, Path]:
    """Every folder with a `config.pbtxt`, by name. The first repository wins, as in Triton's own order."""
    found: dict[str, Path] = {}
    for repository in repositories:
        if repository.is_dir():
            for config in sorted(repository.glob("*/config.pbtxt")):
                found.setdefault(config.parent.name, config.parent)
    return found


class Fingerprints:
    """SHA-256 over the configuration and all files of one version; read again only when a size or a time changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], tuple[tuple[tuple[str, int, int], ...], str]] = {}

    def of(self, model: Path, version: str) -> str:
        """Hexadecimal; empty when the files cannot be read."""
        try:
            files = [model / "config.pbtxt", *sorted(path for path in (model / version).rglob("*") if _counts(path))]
            signature = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
            known = self._known.get((model, version))
            if known is not None and known[0] == signature:
                return known[1]
            digest = hashlib.sha256()
            for path in files:
                # Name and length first, so that moving bytes from one file to another changes the fingerprint.
                digest.update(f"{path.relative_to(model)}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
        except OSError:
            return ""
        self._known[model, version] = (signature, digest.hexdigest())
        return digest.hexdigest()


def _counts(path: Path) -> bool:
    """The stub writes `__pycache__` into the version's folder; that is not the model."""
    return path.is_file() and "__pycache__" not in path.parts
