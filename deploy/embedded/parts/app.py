"""Tidegate's own processes: a one-shot preparation (migrations, topics), dispatchers and workers.

They are configured through environment variables alone, exactly as in production.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial

from deploy.embedded.parts.base import ProcessSpec
from deploy.embedded.ports import HOST
from deploy.embedded.probes import http_ok

__all__ = ["PREPARE_COMMAND", "app_environment", "app_process"]

#: Idempotent; run before the first dispatcher.
PREPARE_COMMAND = (sys.executable, "-m", "consumers.prepare")


def app_environment(addresses: Mapping[str, str]) -> dict[str, str]:
    """What a process of Tidegate is started with: the caller's settings, and the addresses of this stack."""
    environment = {**os.environ, **addresses}
    # gRPC asks the proxy that the environment names even for loopback, unless it is told not to.
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = ",".join(filter(None, (os.environ.get(name), HOST, "localhost")))
    return environment


def app_process(kind: str, number: int, port: int, environment: Mapping[str, str]) -> ProcessSpec:
    """A `dispatcher` or a `worker`, answering on `port`."""
    address = f"http://{HOST}:{port}"
    return ProcessSpec(
        name=f"{kind}-{number}",
        command=(sys.executable, "-m", f"consumers.{kind}"),
        environment={
            **app_environment(environment),
            "TIDEGATE_METRICS_PORT": str(port),
            "TIDEGATE_METRICS_HOST": HOST,
        },
        probe=partial(http_ok, f"{address}/readyz"),
        alive=partial(http_ok, f"{address}/healthz"),
        metrics=f"{address}/metrics",
        # Above the processes' own grace (TIDEGATE_SHUTDOWN_GRACE_S, 25 s): they drain before they go.
        stop_patience_s=40.0,
    )
