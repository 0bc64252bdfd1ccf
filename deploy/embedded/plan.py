"""What `up` decided: which parts run here, which are remote, how many processes, on which ports.

The supervisor reads the plan once; from it and the data folder follow all commands (`parts_of`). Written before anything
starts, readable by its owner only, because a remote address may hold a password.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from deploy.embedded.layout import DataFolder, write_private
from deploy.embedded.parts import Kafka, Part, Postgres, Triton, Valkey
from deploy.embedded.ports import HOST
from deploy.embedded.state import Endpoints, TritonEndpoints

__all__ = [
    "ALL_PARTS",
    "PartName",
    "Plan",
    "check_place",
    "endpoints_of",
    "parts_of",
    "port_names",
    "read_plan",
    "write_plan",
]

PartName = Literal["kafka", "postgres", "valkey", "triton"]
ALL_PARTS: frozenset[PartName] = frozenset({"kafka", "postgres", "valkey", "triton"})

#: A part whose variable is set is used where it is, and not started.
_REMOTE_VARIABLES: Mapping[PartName, str] = {
    "kafka": "TIDEGATE_KAFKA_BOOTSTRAP",
    "postgres": "TIDEGATE_POSTGRES_DSN",
    "valkey": "TIDEGATE_VALKEY_URL",
    "triton": "TIDEGATE_TRITON_GRPC",
}
_PORTS: Mapping[PartName, tuple[str, ...]] = {
    "kafka": ("kafka", "kafka-controller"),
    "postgres": ("postgres",),
    "valkey": ("valkey",),
    "triton": ("triton-http", "triton-grpc", "triton-metrics"),
}


class Plan(BaseModel):
    """Frozen. `ports` has an entry for every name of `port_names`."""

    model_config = ConfigDict(frozen=True)

    parts: frozenset[PartName] = ALL_PARTS
    remote: dict[PartName, str] = {}
    workers: int = 1
    dispatchers: int = 1
    model_repositories: tuple[Path, ...] = ()
    ports: dict[str, int] = {}

    @classmethod
    def from_environment(
        cls, parts: frozenset[PartName], *, workers: int, dispatchers: int, model_repositories: tuple[Path, ...]
    ) -> Plan:
        """The plan for these parts, less those that the environment places elsewhere. Ports are still to be chosen."""
        remote = {part: os.environ[name] for part, name in _REMOTE_VARIABLES.items() if os.environ.get(name)}
        return cls(
            parts=parts - remote.keys(),
            remote=remote,
            workers=workers,
            dispatchers=dispatchers,
            model_repositories=tuple(path.resolve() for path in model_repositories),
        )

    @property
    def app_names(self) -> tuple[str, ...]:
        """Dispatchers first: they are stopped first, so that workers can finish what is in flight."""
        dispatchers = (f"dispatcher-{number}" for number in range(1, self.dispatchers + 1))
        workers = (f"worker-{number}" for number in range(1, self.workers + 1))
        return (*dispatchers, *workers)


def port_names(plan: Plan) -> list[str]:
    """Everything that needs a port."""
    return [name for part in sorted(plan.parts) for name in _PORTS[part]] + list(plan.app_names)


def parts_of(plan: Plan, folder: DataFolder) -> list[Part]:
    """The servers to run here."""
    port = plan.ports
    parts: list[Part] = []
    if "kafka" in plan.parts:
        parts.append(Kafka(folder, port["kafka"], port["kafka-controller"]))
    if "postgres" in plan.parts:
        parts.append(Postgres(folder, port["postgres"]))
    if "valkey" in plan.parts:
        parts.append(Valkey(folder, port["valkey"]))
    if "triton" in plan.parts:
        parts.append(
            Triton(folder, port["triton-http"], port["triton-grpc"], port["triton-metrics"], plan.model_repositories)
        )
    return parts


def check_place(plan: Plan, folder: DataFolder) -> None:
    """Before anything is made: can the parts live in this folder?

    Raises:
        ConfigurationError: one cannot.
    """
    if "postgres" in plan.parts:
        Postgres(folder, port=0).check_place()


def endpoints_of(plan: Plan, folder: DataFolder) -> Endpoints:
    """Where clients find each server, here or remote."""
    port = plan.ports
    here = plan.parts
    triton = TritonEndpoints(grpc=plan.remote.get("triton"))
    if "triton" in here:
        triton = TritonEndpoints(**{name: f"{HOST}:{port[f'triton-{name}']}" for name in ("grpc", "http", "metrics")})
    return Endpoints(
        kafka=f"{HOST}:{port['kafka']}" if "kafka" in here else plan.remote.get("kafka"),
        postgres=Postgres(folder, port["postgres"]).uri if "postgres" in here else plan.remote.get("postgres"),
        valkey=Valkey(folder, port["valkey"]).uri if "valkey" in here else plan.remote.get("valkey"),
        triton=triton,
    )


def write_plan(folder: DataFolder, plan: Plan) -> None:
    """Keep the plan for the supervisor."""
    write_private(folder.plan, plan.model_dump_json().encode())


def read_plan(folder: DataFolder) -> Plan:
    """The plan that `up` wrote."""
    return Plan.model_validate_json(folder.plan.read_bytes())
