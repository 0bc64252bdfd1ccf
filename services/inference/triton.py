"""The gRPC client of a Triton server, with its errors sorted into Tidegate's kinds.

Promises: every call ends within `inference_timeout_s`; an error is classified once, here. An error inside the server that may be of
the moment is asked about a second time, because a single text is dead-lettered for it; there are no other retries. It does not notice
that a Python stub is dead before a call says so (readiness stays 200: measured 2026-11); the embedded stack's canary heals that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from services.errors import (
    ConfigurationError,
    CrashSuspected,
    DeadLetterReason,
    PermanentError,
    TidegateError,
    TransientError,
)
from services.inference.load import LoadLimit
from services.inference.port import Answer, Tensor
from services.telemetry import metrics

if TYPE_CHECKING:
    from services.settings import Settings

__all__ = ["TritonInference", "classify"]

#: A stub that died answers INTERNAL with one of these for ever; a stub that dies *now* says the second kind.
_STUB_DEAD = ("stub process", "is not healthy", "stub exit", "shared memory")
#: The connection broke while the request was on its way, as against a server that could not be reached at all.
_BROKE_UNDER_WAY = ("socket closed", "connection reset", "broken pipe", "goaway", "end of tcp stream")
_TOO_MANY_PINGS = "too_many_pings"
#: A proxy's, or a server's on its way down: the stream was taken away, whatever the request held.
_STREAM_TAKEN = ("rst_stream", "stream removed")
#: Raised by the model, or by anything that had an accident.
_SERVERS_FAULT = {"INTERNAL", "UNKNOWN"}
#: Who may call what is not decided by any text.
_FORBIDDEN_CODES = {"PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED"}
#: The request does not fit the model at all, whatever it holds: the messages of Triton 2.51.
_OTHER_TENSORS = (
    "unexpected inference input",
    "unexpected inference output",
    "missing required input",
    "unexpected shape for input",
    "data-type is",
    "inference request for sequence",
)
_TRANSIENT_CODES = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "ABORTED"}


#: About what one core reviews in ten seconds when it is Chinese; eight ordinary batches are a third of it.
_MOST_BYTES_UNDER_WAY = 256 * 1024


class TritonInference:
    """One channel, shared by all threads of the process (the gRPC client is thread-safe except for streams)."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.triton_grpc
        self._timeout_s = settings.inference_timeout_s
        self._load = LoadLimit(_MOST_BYTES_UNDER_WAY)
        self._client = triton.InferenceServerClient(
            settings.triton_grpc,
            # Everything here: with arguments of its own, the client ignores its `keepalive_options` (tritonclient 2.73).
            channel_args=[
                # A server that vanished with its machine is noticed within a minute, not by TCP after a quarter of an hour. Pings only
                # during calls and seldom: a server that takes them for abuse closes the connection.
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                # After a restart of the server the channel must come back in a second, not after gRPC's two minutes.
                ("grpc.initial_reconnect_backoff_ms", 200),
                # This one is how long an attempt may take, not a pause: 200 ms were too short for a busy machine.
                ("grpc.min_reconnect_backoff_ms", 2000),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ],
        )

    def infer(self, model: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Answer:
        """See `Inference.infer`."""
        try:
            return self._infer(model, inputs, outputs)
        except PermanentError as error:
            failed = error.__cause__
            if isinstance(failed, InferenceServerException) and _code(failed.status()) in _SERVERS_FAULT:
                return self._infer(model, inputs, outputs)
            raise

    def _infer(self, model: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Answer:
        started = time.perf_counter()
        outcome = "ok"
        try:
            tensors = [_tensor(name, value) for name, value in inputs.items()]
            wanted = [triton.InferRequestedOutput(name) for name in outputs]
            with self._load.entered(sum(_size_bytes(value) for value in inputs.values())):
                result = self._client.infer(model, tensors, outputs=wanted, client_timeout=self._timeout_s)
            found = {name: result.as_numpy(name) for name in outputs}
            version = result.get_response().model_version
        except InferenceServerException as error:
            problem = classify(model, self._address, error.status() or "", error.message() or "")
            outcome = type(problem).__name__
            raise problem from error
        else:
            return Answer(found, version)
        finally:
            metrics.INFERENCE_SECONDS.labels(model, outcome).observe(time.perf_counter() - started)

    def parameters(self, model: str) -> Mapping[str, str]:
        """See `Inference.parameters`."""
        try:
            config = self._client.get_model_config(model, client_timeout=5.0).config
        except InferenceServerException as error:
            raise classify(model, self._address, error.status() or "", error.message() or "") from error
        return {key: value.string_value for key, value in config.parameters.items()}

    def probe(self, model: str) -> None:
        """See `Inference.probe`."""
        try:
            metadata = self._client.get_model_metadata(model, client_timeout=5.0)
            config = self._client.get_model_config(model, client_timeout=5.0).config
        except InferenceServerException as error:
            raise classify(model, self._address, error.status() or "", error.message() or "") from error
        inputs = {
            tensor.name: _harmless(tensor.datatype, [max(1, int(d)) for d in tensor.shape])
            for tensor in metadata.inputs
        }
        # One dead process among several fails every second request (measured 2026-11), so one answer proves nothing.
        instances = sum(max(1, group.count) for group in config.instance_group)
        for _ in range(1 if instances <= 1 else 2 * instances):
            self.infer(model, inputs, [tensor.name for tensor in metadata.outputs])

    def ready(self, models: Sequence[str]) -> str | None:
        """See `Inference.ready`."""
        try:
            missing = [m for m in models if not self._client.is_model_ready(m, client_timeout=2.0)]
        except InferenceServerException:
            return f"Triton at {self._address} cannot be reached"
        return f"Triton at {self._address} has not loaded: {', '.join(missing)}" if missing else None

    def close(self) -> None:
        """Close the channel."""
        self._client.close()


def classify(model: str, address: str, status: str, message: str) -> TidegateError:
    """The kind of a failed call, from gRPC's status name and the server's message. Pure, so that it is tested by table."""
    code = _code(status)
    said = message.lower()
    where = f"Triton at {address}, model {model}: {code}"
    crash = _crash(code, said)
    if crash is not None:
        return CrashSuspected(f"{where}: {crash}")
    wrong = _misconfigured(code, said)
    if wrong is not None:
        return ConfigurationError(f"{where}: {wrong}")
    if code in _TRANSIENT_CODES:
        return TransientError(f"{where}: {message[:200]}")
    # The server's message may quote the input, and texts never reach logs: only its first line's head is kept.
    return PermanentError(
        DeadLetterReason.MODEL_ERROR, f"{where}: {message.splitlines()[0][:120] if message else 'no message'}"
    )


def _crash(code: str, said: str) -> str | None:
    if code in _SERVERS_FAULT and any(mark in said for mark in _STUB_DEAD):
        return "the model's process died"
    if code in _SERVERS_FAULT and any(mark in said for mark in _STREAM_TAKEN):
        return "the stream was reset during the call"
    # Pings that a server does not like are nobody's text.
    if code == "UNAVAILABLE" and any(mark in said for mark in _BROKE_UNDER_WAY) and _TOO_MANY_PINGS not in said:
        return "the connection broke during the call"
    return None


def _misconfigured(code: str, said: str) -> str | None:
    if code in _FORBIDDEN_CODES:
        return "the server, or a proxy before it, does not allow the call"
    # A server that is starting or reloading knows the model a moment later: the caller waits, and says that it does.
    if code == "NOT_FOUND" or (code in {"UNAVAILABLE", "INVALID_ARGUMENT"} and "unknown model" in said):
        return "the model is not loaded"
    if any(mark in said for mark in _OTHER_TENSORS):
        return "the model has other tensors than this version of Tidegate expects"
    return None


def _code(status: str | None) -> str:
    return (status or "").rsplit(".", 1)[-1].upper()


def _harmless(datatype: str, shape: list[int]) -> Tensor:
    if datatype == "BYTES":
        return np.full(shape, b"", dtype=np.object_)
    return np.zeros(shape, dtype=triton_to_np_dtype(datatype))


def _size_bytes(value: Tensor) -> int:
    """Of texts the texts', not their pointers'."""
    return sum(map(len, value.ravel().tolist())) if value.dtype == np.object_ else value.nbytes


def _tensor(name: str, value: Tensor) -> triton.InferInput:
    tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
    tensor.set_data_from_numpy(np.ascontiguousarray(value))
    return tensor
