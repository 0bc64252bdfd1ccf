"""Where the servers are: the environment first, then the stack that runs in the data folder, else a sentence.

A command names what it needs; only that must be known. Nothing is connected here.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from deploy.embedded import DataFolder, Stack, stack_environment
from services.errors import ConfigurationError
from services.settings import Settings, make_settings
from services.telemetry import configure_logging

__all__ = ["DataOption", "Need", "settings_for"]

Need = Literal["kafka", "postgres"]

_VARIABLES: dict[Need, str] = {"kafka": "TIDEGATE_KAFKA_BOOTSTRAP", "postgres": "TIDEGATE_POSTGRES_DSN"}

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Data folder of the stack. Default: $TIDEGATE_DATA, or one chosen for the user.",
        show_default=False,
    ),
]


def settings_for(data: Path | None, *needs: Need) -> Settings:
    """Settings with the addresses of what is needed.

    Raises:
        ConfigurationError: a setting is not valid, or a server is neither named in the environment nor running here.
    """
    # Tidegate's own log lines are for operators of processes; a command says what happened in its own words.
    level = os.environ.get("TIDEGATE_LOG_LEVEL", "CRITICAL").upper()
    configure_logging("cli", level)
    for client in ("kafka", "psycopg.pool"):  # a line for each attempt to connect, otherwise
        logging.getLogger(client).setLevel(level)
    missing = [need for need in needs if not os.environ.get(_VARIABLES[need])]
    found = _running_stack(data, missing) if missing else {}
    return make_settings(
        **{name.removeprefix("TIDEGATE_").lower(): value for name, value in found.items() if not os.environ.get(name)}
    )


def _running_stack(data: Path | None, missing: list[Need]) -> dict[str, str]:
    folder = DataFolder.at(data).root
    or_set = " and ".join(_VARIABLES[need] for need in missing)
    state = Stack(data).status()
    if state is None:
        raise ConfigurationError(
            f"nothing runs in {folder}: start it with `tidegate up`, or say where the servers are with {or_set}"
        )
    environment = stack_environment(state)
    absent = [need for need in missing if _VARIABLES[need] not in environment]
    if absent:
        raise ConfigurationError(f"the stack in {folder} runs without {' and '.join(absent)}: set {or_set}")
    return environment
