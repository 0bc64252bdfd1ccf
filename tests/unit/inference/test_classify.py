"""The kind of each failed call, by gRPC's status and the server's words (messages as Triton 2.51 wrote them)."""

from __future__ import annotations

import pytest

from services.errors import (
    ConfigurationError,
    CrashSuspected,
    DeadLetterReason,
    PermanentError,
    TidegateError,
    TransientError,
)
from services.inference import classify

CASES: list[tuple[str, str, type[TidegateError]]] = [
    # The server is away, full or slow.
    (
        "UNAVAILABLE",
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host",
        TransientError,
    ),
    ("UNAVAILABLE", "Exceeds maximum queue size", TransientError),
    ("UNAVAILABLE", "", TransientError),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", TransientError),
    ("RESOURCE_EXHAUSTED", "too many", TransientError),
    ("CANCELLED", "Locally cancelled by application!", TransientError),
    ("ABORTED", "", TransientError),
    # It died while the request was on its way, or is dead.
    ("UNAVAILABLE", "Socket closed", CrashSuspected),
    ("UNAVAILABLE", "recvmsg:Connection reset by peer", CrashSuspected),
    ("UNAVAILABLE", "GOAWAY received", CrashSuspected),
    ("INTERNAL", "Stub process 'echo_0_0' is not healthy.", CrashSuspected),
    ("UNKNOWN", "Stub process 'echo_0_0' is not healthy.", CrashSuspected),
    ("INTERNAL", "Received RST_STREAM with error code 2", CrashSuspected),
    ("UNKNOWN", "Stream removed", CrashSuspected),
    # Not the text's fault, whatever it is.
    ("UNAVAILABLE", "GOAWAY received; Error code: 11; Debug Text: too_many_pings", TransientError),
    # The deployment is wrong, or the server is starting.
    ("PERMISSION_DENIED", "RBAC: access denied", ConfigurationError),
    ("UNAUTHENTICATED", "", ConfigurationError),
    ("UNIMPLEMENTED", "", ConfigurationError),
    ("NOT_FOUND", "Request for unknown model: 'echo' is not found", ConfigurationError),
    ("NOT_FOUND", "Request for unknown model: 'echo' has no available versions", ConfigurationError),
    ("UNAVAILABLE", "Request for unknown model: 'echo' has no available versions", ConfigurationError),
    ("INVALID_ARGUMENT", "unexpected inference output 'LABELS' for model 'echo'", ConfigurationError),
    ("INVALID_ARGUMENT", "[request id: 1] unexpected inference input 'TEXTS' for model 'echo'", ConfigurationError),
    (
        "INVALID_ARGUMENT",
        "expected 1 inputs but got 0 inputs for model 'echo'. Got input(s) [], but missing required input(s) ['TEXT'].",
        ConfigurationError,
    ),
    (
        "INVALID_ARGUMENT",
        "unexpected shape for input 'TEXT' for model 'echo'. Expected [-1,1], got [3,2]",
        ConfigurationError,
    ),
    (
        "INVALID_ARGUMENT",
        "inference input 'TEXT' data-type is 'INT32', but model 'echo' expects 'BYTES'",
        ConfigurationError,
    ),
    # This input cannot be computed.
    ("INVALID_ARGUMENT", "inference request batch-size must be <= 256 for 'echo'", PermanentError),
    ("INTERNAL", "the text RAISE is refused", PermanentError),
    ("UNKNOWN", "", PermanentError),
    ("OUT_OF_RANGE", "whatever comes next", PermanentError),
    ("", "", PermanentError),
]


@pytest.mark.parametrize(("status", "message", "kind"), CASES)
@pytest.mark.parametrize("prefix", ["", "StatusCode."])
def test_each_failure_is_of_one_kind(prefix: str, status: str, message: str, kind: type[TidegateError]) -> None:
    error = classify("echo", "127.0.0.1:8001", prefix + status, message)
    assert type(error) is kind
    assert str(error).startswith("Triton at 127.0.0.1:8001, model echo")


def test_a_refused_input_is_a_model_error_and_its_words_are_cut() -> None:
    error = classify("echo", "host", "INTERNAL", "ValueError: " + "x" * 500 + "\nTraceback: the whole text")
    assert isinstance(error, PermanentError)
    assert error.reason is DeadLetterReason.MODEL_ERROR
    assert "Traceback" not in str(error)
    assert len(str(error)) < 200
