"""The Triton server that a promotion talks to: the embedded stack's, or one at an address.

The only module of training that knows the embedded stack. It speaks HTTP, because Triton's model control is there without
`tritonclient`.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.embedded import DataFolder, Stack
from deploy.embedded.canary import canary_request
from deploy.embedded.plan import read_plan
from deploy.embedded.triton_http import TritonHttp, TritonRefused, TritonUnreachable
from services.errors import ConfigurationError
from services.training.promotion import ServerRefused

__all__ = ["LiveTriton", "embedded_grpc", "embedded_triton", "triton_at"]

_LOAD_TIMEOUT_S = 300.0
_CANARY_TIMEOUT_S = 60.0
#: Triton answers a load when it is done, and its index follows at once; this is for a server that is busy.
_READY_WITHIN_S = 20.0


class LiveTriton:
    """A `promotion.ModelServer` over Triton's HTTP API."""

    def __init__(self, http: TritonHttp, where: str) -> None:
        self._http = http
        self.where = where

    def serve(self, model: str, version: int) -> None:
        """See `promotion.ModelServer.serve`."""
        try:
            self._http.load(model, _LOAD_TIMEOUT_S)
            self._wait_ready(model, str(version))
            request = canary_request(self._http.config(model))
            if request is not None:
                _check(self._http.infer(model, request, _CANARY_TIMEOUT_S, str(version)))
        except TritonRefused as refusal:
            raise ServerRefused(f"Triton refuses it: {_gist(str(refusal))}") from refusal
        except TritonUnreachable as error:
            raise ServerRefused(f"Triton at {self.where} does not answer ({error})") from error

    def _wait_ready(self, model: str, version: str) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            entries = [entry for entry in self._http.index() if entry["name"] == model]
            own = next((entry for entry in entries if entry.get("version") == version), None)
            if own is not None and own.get("state") == "READY":
                return
            if time.monotonic() > deadline or (own is not None and own.get("state") == "UNAVAILABLE"):
                reason = _gist(own.get("reason", "")) if own is not None else "it knows no such version"
                raise ServerRefused(
                    f"Triton at {self.where} has not made it ready: {reason or 'it does not say why'}. Does it read this repository?"
                )
            time.sleep(0.1)


def embedded_triton(data: Path | None, repository: Path) -> LiveTriton:
    """Triton of the stack that runs in this data folder.

    Raises:
        ConfigurationError: none runs, or it serves another repository.
    """
    state = Stack(data).status()
    address = state.endpoints.triton.http if state is not None else None
    folder = DataFolder.at(data)
    if address is None:
        raise ConfigurationError(
            f"no Triton runs in {folder.root}: start it with `tidegate up`, name one with --triton-http HOST:PORT, or change only the "
            f"files with --offline; the next start then serves them"
        )
    served = read_plan(folder).model_repositories
    if repository.resolve() not in served:
        raise ConfigurationError(
            f"the stack in {folder.root} serves {', '.join(map(str, served)) or 'no models'}, not {repository.resolve()}: "
            f"give --repository the folder that it serves, or change only the files with --offline"
        )
    return triton_at(address)


def embedded_grpc(data: Path | None) -> str | None:
    """The gRPC address of the Triton that the stack in this data folder uses; None when nothing runs there."""
    state = Stack(data).status()
    return state.endpoints.triton.grpc if state is not None else None


def triton_at(address: str) -> LiveTriton:
    """Triton's HTTP address, as `host:port` or `http://host:port`.

    Raises:
        ConfigurationError: that is no such address.
    """
    parts = urlsplit(address if "//" in address else f"http://{address}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or not parts.hostname or port is None or parts.path not in {"", "/"}:
        raise ConfigurationError(f"{address!r} is not the address of a Triton: give --triton-http HOST:PORT")
    return LiveTriton(TritonHttp(port, parts.hostname), f"{parts.hostname}:{port}")


def _check(outputs: list[dict[str, Any]]) -> None:
    """An answer has tensors, and every number in them is finite."""
    if not outputs:
        raise ServerRefused("it answers the canary with nothing")
    for tensor in outputs:
        values = tensor.get("data", [])
        if not values or any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise ServerRefused(f"it answers the canary with no finite {tensor.get('name', 'number')}")


def _gist(message: str) -> str:
    """Triton's messages carry a traceback; what is left says what went wrong, on one line."""
    lines = [line.strip() for line in message.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("At:", "/", "File "))]
    return " ".join(kept)[:400]
