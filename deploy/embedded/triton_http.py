"""The few calls of Triton's HTTP API that the supervisor needs, with the standard library.

HTTP and not gRPC: `tritonclient` belongs to `services.inference` alone, and the supervisor must stay small. Both doors lead to
the same model instances, so an inference here is as real as one through gRPC.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

from deploy.embedded.ports import HOST

__all__ = ["TritonHttp", "TritonRefused", "TritonUnreachable"]


class TritonUnreachable(Exception):
    """No answer: the server is away or the time is over."""


class TritonRefused(Exception):
    """The server answered with an error; the text is its own."""


class TritonHttp:
    """One server. Each call opens a connection; safe to use from several threads."""

    def __init__(self, port: int, host: str = HOST) -> None:
        self._port = port
        self._host = host

    def index(self) -> list[dict[str, str]]:
        """Every known model version: `name`, and `version`, `state`, `reason` where it was ever loaded."""
        answer = self._call("POST", "/v2/repository/index", {}, timeout_s=5)
        return answer if isinstance(answer, list) else []

    def load(self, model: str, timeout_s: float) -> None:
        self._call("POST", f"/v2/repository/models/{model}/load", {}, timeout_s)

    def unload(self, model: str, timeout_s: float) -> None:
        self._call("POST", f"/v2/repository/models/{model}/unload", {}, timeout_s)

    def config(self, model: str) -> dict[str, Any]:
        answer = self._call("GET", f"/v2/models/{model}/config", None, timeout_s=5)
        return answer if isinstance(answer, dict) else {}

    def inference_count(self, model: str) -> int:
        """How many items all versions of the model have answered since they were loaded."""
        answer = self._call("GET", f"/v2/models/{model}/stats", None, timeout_s=5)
        return sum(int(stats.get("inference_count", 0)) for stats in answer.get("model_stats", []))

    def infer(self, model: str, request: dict[str, Any], timeout_s: float, version: str = "") -> list[dict[str, Any]]:
        """One inference, by the version that Triton chooses or by this one; the output tensors as JSON carries them."""
        path = f"/v2/models/{model}/versions/{version}/infer" if version else f"/v2/models/{model}/infer"
        answer = self._call("POST", path, request, timeout_s)
        outputs: list[dict[str, Any]] = answer.get("outputs", []) if isinstance(answer, dict) else []
        return outputs

    def _call(self, method: str, path: str, body: dict[str, Any] | None, timeout_s: float) -> Any:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise TritonUnreachable(str(error) or type(error).__name__) from None
        finally:
            connection.close()
        try:
            answer = json.loads(content) if content else {}
        except ValueError:
            answer = {}
        if response.status != http.client.OK:
            message = answer.get("error", "") if isinstance(answer, dict) else ""
            raise TritonRefused(message or f"HTTP {response.status}")
        return answer
