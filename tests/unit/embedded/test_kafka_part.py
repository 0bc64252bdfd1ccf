"""Kafka's preparation: a folder that is half there is finished, one that is damaged is never thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded.layout import DataFolder
from deploy.embedded.parts import Kafka
from deploy.embedded.parts import kafka as module
from services.errors import ConfigurationError


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """Its jars are found, and formatting only writes the file that says so."""
    folder = DataFolder.at(tmp_path / "data")
    folder.create()
    jar = tmp_path / "kafka.jar"
    jar.write_text("")
    monkeypatch.setattr(module, "kafka_jars", lambda _: [jar])

    def format_folder(folder: DataFolder, *_: object, **__: object) -> tuple[int, str]:
        (folder.kafka / "data.new").mkdir()
        (folder.kafka / "data.new" / "meta.properties").write_text("")
        return 0, ""

    monkeypatch.setattr(module, "run_tool", format_folder)
    return Kafka(folder, 21_000, 21_001)


def test_a_format_that_was_interrupted_is_begun_anew(broker: Kafka) -> None:
    half = broker.folder.kafka / "data.new"
    half.mkdir(parents=True)
    (half / "bootstrap.checkpoint").write_text("half")
    broker.prepare(_silent)
    assert [path.name for path in (broker.folder.kafka / "data").iterdir()] == ["meta.properties"]


def test_a_damaged_folder_with_data_is_refused_and_kept(broker: Kafka) -> None:
    data = broker.folder.kafka / "data"
    (data / "content.submitted-0").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"meta.properties is missing but data is there. Move it away \(mv "):
        broker.prepare(_silent)
    assert (data / "content.submitted-0").is_dir()


def test_a_formatted_folder_is_left_as_it_is(broker: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.prepare(_silent)
    monkeypatch.delattr(module, "run_tool")
    broker.prepare(_silent)


def test_a_format_that_fails_is_explained(broker: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_tool", lambda *_, **__: (1, "java.io.IOException: No space left on device"))
    with pytest.raises(ConfigurationError, match="could not be formatted: the disk is full: free some space"):
        broker.prepare(_silent)
    assert not (broker.folder.kafka / "data").exists()


def test_jars_that_disappeared_are_looked_for_again(broker: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.prepare(_silent)
    other = broker.folder.root / "other.jar"
    other.write_text("")
    monkeypatch.setattr(module, "kafka_jars", lambda _: [other])
    (broker.folder.root.parent / "kafka.jar").unlink()
    broker.prepare(_silent)
    assert f"-cp {other} kafka.Kafka" in " ".join(broker.spec().command)


def _silent(_: str) -> None:
    """Tell nobody."""
