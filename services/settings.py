"""Every setting of every process, read from the environment (`TIDEGATE_...`) once, validated, and never logged raw.

The defaults fit a laptop. A setting that was measured says so beside its value. `Settings()` raises pydantic's
`ValidationError`, which names the variable; `make_settings()` and `load_settings()` turn it into a `ConfigurationError` that a
person can read.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.errors import ConfigurationError

__all__ = ["Settings", "load_settings", "make_settings"]

#: What a tenant may be called: it travels in headers, ids and metric labels.
TENANT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Settings(BaseSettings):
    """One flat, frozen object. Environment variables are the field names with the prefix `TIDEGATE_`."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True, extra="ignore")

    # --- where the servers are ---------------------------------------------------------------------------------
    kafka_bootstrap: str = "127.0.0.1:9092"
    #: A libpq connection string. It may hold a password, so it is a secret and never printed.
    postgres_dsn: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/postgres")
    valkey_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    triton_grpc: str = "127.0.0.1:8001"

    # --- the wire ------------------------------------------------------------------------------------------------
    topic_prefix: str = ""
    tenants: Annotated[frozenset[str], NoDecode] = frozenset({"default"})
    #: Unicode code points, of the longest text field of a message.
    max_text_length: int = Field(100_000, ge=1)
    #: A larger Kafka value is dead-lettered unread. Kafka's own default limit is 1 MiB.
    max_message_bytes: int = Field(850_000, ge=1024)
    topic_partitions: int = Field(12, ge=1)
    topic_replication: int = Field(1, ge=1)

    # --- capabilities --------------------------------------------------------------------------------------------
    #: `module:attribute` of each `Capability`; empty means the registry of `services.capabilities`.
    capabilities: Annotated[tuple[str, ...], NoDecode] = ()

    # --- dispatcher ----------------------------------------------------------------------------------------------
    consumer_group: str = "tidegate"
    batch_size: int = Field(64, ge=1, le=1024)
    batch_linger_ms: int = Field(20, ge=0)
    #: A batch of long texts is cut by size, so that one batch is never minutes of model time.
    batch_bytes: int = Field(65_536, ge=1024)
    in_flight_messages: int = Field(4096, ge=1)
    in_flight_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    commit_interval_s: float = Field(1.0, gt=0)
    #: Healthy time that a batch may be overdue before it is sent again.
    batch_deadline_s: float = Field(6.0, gt=0)
    dead_letter_max_ratio: float = Field(0.5, gt=0, le=1)
    dead_letter_max_consecutive: int = Field(500, ge=1)
    session_timeout_ms: int = Field(10_000, ge=6000)
    #: A dispatcher that does not poll for so long leaves the group; and a rebalance waits so long for one that does not rejoin.
    max_poll_interval_ms: int = Field(300_000, ge=6000)
    shutdown_grace_s: float = Field(25.0, gt=0)

    # --- worker --------------------------------------------------------------------------------------------------
    #: Threads, which wait for Triton most of the time: with eight, it finds enough to merge while it computes.
    worker_concurrency: int = Field(8, ge=1)
    #: How long a worker waits for a dependency that is away before it hands the batch back.
    worker_patience_s: float = Field(8.0, gt=0)
    inference_timeout_s: float = Field(120.0, gt=0)
    statement_timeout_s: float = Field(10.0, gt=0)

    # --- telemetry -----------------------------------------------------------------------------------------------
    #: 0 lets the system choose a port; -1 serves nothing.
    metrics_port: int = -1
    metrics_host: str = "127.0.0.1"
    log_level: str = "INFO"

    @field_validator("tenants", "capabilities", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


@cache
def load_settings() -> Settings:
    """The process's settings. Raises what `make_settings` raises."""
    return make_settings()


def make_settings(**given: Any) -> Settings:
    """The environment's settings, with `given` (fields by name) in place of what it says.

    Raises:
        ConfigurationError: a variable has a value that does not fit; the message names each one.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [
            f"TIDEGATE_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)
        ]
        raise ConfigurationError("settings are not valid: " + "; ".join(lines)) from None
