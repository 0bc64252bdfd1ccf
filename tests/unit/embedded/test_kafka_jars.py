"""Kafka's jars: verified, fetched again where they are broken, and a sentence where they cannot be had.

`jgo` is asked to look in empty folders behind a proxy that is not there; nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.embedded.parts import kafka_jars as module
from deploy.embedded.parts.kafka_jars import kafka_jars
from services.errors import ConfigurationError

Tell = Callable[[str], None]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where jgo keeps what it downloads, empty, with two jars pinned."""
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("JGO_CACHE_DIR", str(tmp_path / "jgo"))
    pins = tmp_path / "pins"
    pins.write_text(
        "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in ("a-1.jar", "b-2.jar"))
    )
    monkeypatch.setattr(module, "_PINS", pins)
    (tmp_path / "m2").mkdir()
    return tmp_path / "m2"


class _Downloads:
    """In place of `_resolve`: writes each missing jar, with its name as content; the first `broken` ones are cut off."""

    def __init__(self, repository: Path, broken: int = 0) -> None:
        self.repository = repository
        self.broken = broken
        self.calls = 0

    def __call__(self, *, update: bool) -> dict[str, Path]:
        self.calls += 1
        for name in ("a-1.jar", "b-2.jar", "stranger-3.jar"):
            path = self.repository / name
            if not path.exists():
                path.write_text(name if self.broken <= 0 else name[:2])
                self.broken -= 1
        return {path.name: path for path in self.repository.glob("*.jar")}


def test_exactly_the_pinned_jars_are_used_in_their_order(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_resolve", _Downloads(repository))
    assert [jar.name for jar in kafka_jars(_silent)] == ["a-1.jar", "b-2.jar"]


def test_a_jar_that_a_killed_download_left_cut_off_is_fetched_again(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = _Downloads(repository, broken=1)
    monkeypatch.setattr(module, "_resolve", downloads)
    assert [jar.read_text() for jar in kafka_jars(_silent)] == ["a-1.jar", "b-2.jar"]
    assert downloads.calls == 2


def test_jars_of_another_content_are_never_run(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_resolve", _Downloads(repository, broken=100))
    with pytest.raises(ConfigurationError, match=r"another content than expected \(a-1.jar, b-2.jar\)"):
        kafka_jars(_silent)


def test_a_description_that_was_cut_off_is_fetched_again(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "org").mkdir()
    cut, whole = repository / "org" / "a-1.pom", repository / "org" / "b-2.pom"
    cut.write_text("<project><artifa")
    whole.write_text("<project></project>\n")
    downloads = _Downloads(repository)

    def parse(*, update: bool) -> dict[str, Path]:
        if cut.exists():
            raise ValueError("mismatched tag")
        return downloads(update=update)

    monkeypatch.setattr(module, "_resolve", parse)
    assert len(kafka_jars(_silent)) == 2
    assert whole.exists()


def test_without_a_network_the_sentence_says_what_to_do(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, nobody)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError) as caught:
        kafka_jars(_silent)
    assert str(caught.value) == (
        "Apache Kafka's jars could not be downloaded from Maven Central (ProxyError): connect this machine to the network for "
        f"the first start, or copy {repository} from a machine that has them, or use a remote broker with "
        "TIDEGATE_KAFKA_BOOTSTRAP=host:port"
    )


def test_a_full_disk_is_not_taken_for_a_missing_network(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*, update: bool) -> dict[str, Path]:
        raise OSError(28, "No space left on device", str(repository / "a-1.jar"))

    monkeypatch.setattr(module, "_resolve", full)
    with pytest.raises(ConfigurationError, match="could not be kept: No space left on device"):
        kafka_jars(_silent)


def test_the_first_start_shows_how_much_has_arrived(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    downloads = _Downloads(repository)

    def slow(*, update: bool) -> dict[str, Path]:
        (repository / "big-1.jar").write_bytes(b"\0" * 3_000_000)
        while not any("downloading" in sentence for sentence in said):
            pass
        return downloads(update=update)

    monkeypatch.setattr(module, "_resolve", slow)
    kafka_jars(said.append)
    assert said == [
        "finding Apache Kafka's jars (about 46 MB, downloaded once)",
        "downloading Apache Kafka: 3 of about 46 MB",
    ]


def test_the_real_pins_name_the_broker_and_its_logging_once() -> None:
    names = list(module._read_pins())
    assert names[0].startswith("kafka_2.13-4.")
    assert sum(name.startswith("kafka-clients-") for name in names) == 1
    assert any(name.startswith("log4j-slf4j-impl-") for name in names)


def _silent(_: str) -> None:
    """Tell nobody."""
