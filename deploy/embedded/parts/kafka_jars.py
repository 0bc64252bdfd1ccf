"""Kafka's jars (46 MB), found through `jgo` in its cache or in a Maven repository, and verified.

What is used is pinned by name and SHA-256 in `kafka_jars.sha256`; `python -m deploy.embedded.parts.kafka_jars` prints the list anew
after a change of version. jgo writes straight to its final files and never looks at them again, so a download that was killed
would stay half done for ever: whatever does not match its pin is removed and fetched once more.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.embedded.parts.base import Say
from services.errors import ConfigurationError

__all__ = ["kafka_jars"]

_BROKER = "org.apache.kafka:kafka_2.13:4.3.1"
#: Resolved apart from the broker: together, log4j's managed versions would replace Kafka's own client by an older one.
_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
_PINS = Path(__file__).with_name("kafka_jars.sha256")
_DOWNLOAD_MB = 46


def kafka_jars(say: Say) -> list[Path]:
    """The class path in its order. Several stacks may ask at the same time: one downloads, the others wait.

    Raises:
        ConfigurationError: they are neither in the cache nor can they be downloaded.
    """
    pins = _read_pins()
    say(f"finding Apache Kafka's jars (about {_DOWNLOAD_MB} MB, downloaded once)")
    with _only_one(say), _progress(say):
        wrong: list[str] = []
        for last_try in (False, True):
            try:
                found = _resolve(update=last_try)
            except Exception as error:  # jgo raises what its HTTP library, its XML parser or the disk raises
                if not last_try and _remove_broken_descriptions():
                    continue
                raise ConfigurationError(_sentence(error)) from error
            wrong = [name for name, digest in pins.items() if name not in found or _sha256(found[name]) != digest]
            if not wrong:
                return [found[name] for name in pins]
            _remove(wrong, found)
    raise ConfigurationError(
        f"Apache Kafka's jars came from the Maven repository with another content than expected ({', '.join(wrong[:3])}): "
        "is there a proxy that changes downloads? Use a remote broker with TIDEGATE_KAFKA_BOOTSTRAP=host:port meanwhile"
    )


def _resolve(*, update: bool) -> dict[str, Path]:
    """Every jar that jgo knows for the two coordinates, by name."""
    try:
        import jgo
    except ImportError:
        raise ConfigurationError(
            "the package jgo is not installed: install the embedded stack with `pip install 'tidegate[embedded]'`"
        ) from None
    found: dict[str, Path] = {}
    for coordinate in (_BROKER, _LOGGING):
        environment = jgo.build(coordinate)
        if update or not environment.lock_path.is_file():  # written last: without it an earlier call did not finish
            environment = jgo.build(coordinate, update=True)
        for folder in (environment.jars_dir, environment.modules_dir):
            for jar in sorted(folder.glob("*.jar")):
                found.setdefault(jar.name, jar)
    return found


def _repository() -> Path:
    """Where jgo keeps what it downloads, shared with Maven."""
    from jgo.config import GlobalSettings

    return Path(GlobalSettings.load().repo_cache)


def _cache() -> Path:
    from jgo.config import GlobalSettings

    return Path(GlobalSettings.load().cache_dir)


def _remove(names: Iterable[str], found: dict[str, Path]) -> None:
    repository = _repository()
    for name in names:
        copies = [*repository.rglob(name), *([found[name]] if name in found else [])]
        for path in copies:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _remove_broken_descriptions() -> bool:
    """Remove each `.pom` that was cut off; whether there was one."""
    removed = False
    for path in _repository().rglob("*.pom"):
        with contextlib.suppress(OSError):
            if not path.read_bytes().rstrip().endswith((b"</project>", b"-->")):
                path.unlink()
                removed = True
    return removed


def _sentence(error: Exception) -> str:
    if isinstance(error, ConfigurationError):
        return str(error)
    if isinstance(error, OSError) and error.errno and error.filename:
        return f"Apache Kafka's jars could not be kept: {error.strerror} ({error.filename}). Free some space, or make it writable"
    return (
        f"Apache Kafka's jars could not be downloaded from Maven Central ({type(error).__name__}): connect this machine to the "
        f"network for the first start, or copy {_repository()} from a machine that has them, or use a remote broker with "
        "TIDEGATE_KAFKA_BOOTSTRAP=host:port"
    )


@contextlib.contextmanager
def _only_one(say: Say) -> Iterator[None]:
    """The lock of jgo's cache among stacks; a cache that cannot be written is read without one."""
    try:
        _cache().mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_cache() / "tidegate.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except (OSError, ImportError):
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another stack that is downloading Apache Kafka")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _progress(say: Say) -> Iterator[None]:
    """Show how much has arrived: jgo itself reports nothing to its caller."""
    finished = threading.Event()
    watcher = threading.Thread(target=_report, args=(say, finished), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def _report(say: Say, finished: threading.Event) -> None:
    try:
        repository = _repository()
    except ImportError:
        return
    started = time.time()
    while not finished.wait(1.0):
        arrived = 0
        for path in repository.rglob("*.jar"):
            with contextlib.suppress(OSError):
                status = path.stat()
                arrived += status.st_size if status.st_mtime >= started - 1 else 0
        if arrived:
            say(f"downloading Apache Kafka: {arrived / 1e6:.0f} of about {_DOWNLOAD_MB} MB")


def _read_pins() -> dict[str, str]:
    lines = _PINS.read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _print_pins() -> None:
    """The first version of each artifact wins: the broker's own before that of its logging."""
    seen: dict[str, Path] = {}
    for name, path in _resolve(update=True).items():
        seen.setdefault(name.rsplit("-", 1)[0], path)
    for path in seen.values():
        sys.stdout.write(f"{_sha256(path)}  {path.name}\n")


if __name__ == "__main__":
    _print_pins()
