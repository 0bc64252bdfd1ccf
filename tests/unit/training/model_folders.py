"""Model folders and exported versions made of a few bytes, and a server that does what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.training.promotion import ServerRefused
from services.training.versions import ModelFolder, Promotion, VersionRecord, fingerprint, write_record

__all__ = ["FakeServer", "export", "make_model"]

CONFIG = '# kept\nname: "toy"\nparameters { key: "labels" value { string_value: "one,two" } }\n'


def make_model(repository: Path, versions: Mapping[int, int | None], live: int | None = None) -> ModelFolder:
    """A model with these versions, each with the number of the one that it replaced."""
    path = repository / "toy"
    path.mkdir(parents=True)
    (path / "config.pbtxt").write_text(CONFIG)
    for number, replaced in versions.items():
        folder = path / str(number)
        folder.mkdir()
        (folder / "model.py").write_text("# serving code\n")
        (folder / "weights").write_text(f"weights of {number}")
        record = VersionRecord(model="toy", promotion=Promotion(at="2026-01-01T00:00:00Z", replaces=replaced))
        write_record(folder, record)
    model = ModelFolder.of(repository, "toy")
    if live is not None:
        model.choose(live)
    return model


def export(folder: Path, content: str = "new weights") -> tuple[Path, VersionRecord]:
    """An exported version and its record."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_text(content)
    return folder, VersionRecord(model="toy", files={"weights": fingerprint(folder / "weights")})


@dataclass
class FakeServer:
    """Remembers what it was asked to serve; refuses the versions in `refused`."""

    refused: frozenset[int] = frozenset()
    served: list[int] = field(default_factory=list)

    def serve(self, model: str, version: int) -> None:
        if version in self.refused:
            raise ServerRefused("no")
        self.served.append(version)
