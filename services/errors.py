"""Every error of Tidegate, and the three kinds that decide control flow.

    TidegateError
    ├── TransientError        wait and retry; nothing is wrong with the message
    │   └── CrashSuspected    the server died while it worked on this batch: retry, and suspect the batch
    ├── PermanentError        this one item can never succeed: dead-letter it, with a reason
    └── ConfigurationError    nobody's message is wrong, the deployment is: stop and say what to do

A `PermanentError` always carries a `reason` of `DeadLetterReason`: it becomes a metric label, a Kafka header and a
column, so it is a closed set. The error's text is for an operator and must never contain the user's text.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "ConfigurationError",
    "CrashSuspected",
    "DeadLetterReason",
    "PermanentError",
    "TidegateError",
    "TransientError",
    "first_line",
]


class DeadLetterReason(StrEnum):
    """Why a message was dead-lettered. Values are stable: users filter and replay by them."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    DUPLICATE_KEY = "duplicate_key"
    TOO_DEEP = "too_deep"
    LONE_SURROGATE = "lone_surrogate"
    NUL_CHARACTER = "nul_character"
    TOO_LARGE = "too_large"
    TEXT_TOO_LONG = "text_too_long"
    NOT_CLOUDEVENT = "not_cloudevent"
    UNKNOWN_TYPE = "unknown_type"
    SCHEMA = "schema"
    UNKNOWN_TENANT = "unknown_tenant"
    ID_REUSE = "id_reuse"
    MODEL_ERROR = "model_error"
    MODEL_CRASH = "model_crash"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"


class TidegateError(Exception):
    """Base of every error that Tidegate raises on purpose."""


class TransientError(TidegateError):
    """A dependency is away, full or slow. Wait and retry; never dead-letter, never bisect."""


class CrashSuspected(TransientError):
    """The model server's process died while it worked on this batch; the batch may be the cause."""


class PermanentError(TidegateError):
    """This item can never succeed. `reason` says why, the message says it to an operator."""

    def __init__(self, reason: DeadLetterReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ConfigurationError(TidegateError):
    """The deployment is wrong (a missing model, topic or table). Stop, alert, and say what to do."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its class where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
