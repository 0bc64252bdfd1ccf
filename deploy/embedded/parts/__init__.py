"""The parts of the embedded stack, one module each."""

from deploy.embedded.parts.app import PREPARE_COMMAND, app_environment, app_process
from deploy.embedded.parts.base import Part, ProcessSpec, Say
from deploy.embedded.parts.kafka import Kafka
from deploy.embedded.parts.postgres import Postgres
from deploy.embedded.parts.triton import Triton
from deploy.embedded.parts.valkey import Valkey

__all__ = [
    "PREPARE_COMMAND",
    "Kafka",
    "Part",
    "Postgres",
    "ProcessSpec",
    "Say",
    "Triton",
    "Valkey",
    "app_environment",
    "app_process",
]
