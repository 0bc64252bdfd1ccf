"""The state file: what runs, where it answers, and how it is. Written by the supervisor, read by every command.

It is a report, not a lock: whether a supervisor lives is decided by the file lock in `processes`, and a process is
identified by pid and creation time together. A file that is missing, damaged or written by another version reads as None.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.embedded.layout import DataFolder, default_data_dir, write_private
from services.errors import ConfigurationError

__all__ = [
    "Endpoints",
    "ModelState",
    "Phase",
    "ProcessState",
    "StackState",
    "TritonEndpoints",
    "default_data_dir",
    "read_state",
    "stack_environment",
    "write_state",
]


Phase = Literal["starting", "running", "stopping"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TritonEndpoints(_Frozen):
    """`host:port` each. A remote Triton is known by its gRPC address only."""

    grpc: str | None = None
    http: str | None = None
    metrics: str | None = None


class Endpoints(_Frozen):
    """Where the servers answer. None: this stack was started without that part."""

    kafka: str | None = None
    postgres: str | None = None
    valkey: str | None = None
    triton: TritonEndpoints = TritonEndpoints()


class ProcessState(_Frozen):
    """One process. `metrics` is a URL, `detail` one sentence for an operator when it is not healthy."""

    name: str
    pid: int | None = None
    healthy: bool = False
    restarts: int = 0
    metrics: str | None = None
    detail: str = ""


class ModelState(_Frozen):
    """One model version that Triton knows. `sha256` covers the configuration and the files of that version."""

    name: str
    version: str
    sha256: str
    healthy: bool = False
    heals: int = 0
    detail: str = ""


class StackState(_Frozen):
    """Everything that `tidegate status` shows."""

    format: Literal[1] = 1
    data_dir: Path
    phase: Phase = "starting"
    healthy: bool = False
    message: str = ""
    supervisor_pid: int
    #: In seconds since the machine started, as in `ProcessRef`.
    supervisor_created: float
    #: How often in a row the database and the topics could not be prepared.
    failed_preparations: int = 0
    endpoints: Endpoints
    processes: tuple[ProcessState, ...] = ()
    models: tuple[ModelState, ...] = ()
    #: Seconds since the epoch. The supervisor writes at least every few seconds; an old time means a full disk.
    written_at: float = 0.0


def read_state(data_dir: Path | str | None = None) -> StackState | None:
    """The state of the stack in `data_dir` (default: the default data folder), or None when none is recorded.

    Raises:
        ConfigurationError: the file is there but this user may not read it.
    """
    path = DataFolder.at(data_dir).state
    try:
        return StackState.model_validate_json(path.read_bytes())
    except PermissionError:
        raise ConfigurationError(
            f"{path} may not be read by this user: the stack belongs to another user. Run the command as that user"
        ) from None
    except (OSError, ValidationError):
        return None


def write_state(folder: DataFolder, state: StackState) -> None:
    """Keep the state for every command."""
    write_private(folder.state, state.model_dump_json().encode())


def stack_environment(state: StackState) -> dict[str, str]:
    """The `TIDEGATE_*` variables with which any command or process finds this stack."""
    endpoints = state.endpoints
    found = {
        "TIDEGATE_KAFKA_BOOTSTRAP": endpoints.kafka,
        "TIDEGATE_POSTGRES_DSN": endpoints.postgres,
        "TIDEGATE_VALKEY_URL": endpoints.valkey,
        "TIDEGATE_TRITON_GRPC": endpoints.triton.grpc,
    }
    return {name: value for name, value in found.items() if value is not None}
