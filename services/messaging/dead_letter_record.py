"""What a record on a dead-letter topic looks like: key and value untouched, the original headers, and `dlq-*` headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["HEADER_PREFIX", "DeadLetterRecord", "dead_letter_record", "original_headers"]

HEADER_PREFIX = "dlq-"
_MAX_DETAIL_BYTES = 1000


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """Ready to send."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def dead_letter_record(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], facts: dict[str, str]
) -> DeadLetterRecord:
    """Original bytes plus one `dlq-<name>` header per fact (reason, error, topic, partition, offset, ...)."""
    kept = [(name, content or b"") for name, content in headers]
    added = [
        (HEADER_PREFIX + name, fact.encode("utf-8", "backslashreplace")[:_MAX_DETAIL_BYTES])
        for name, fact in facts.items()
    ]
    if key is None and value is None:
        key = b""  # Kafka's client refuses a record with neither; the row in Postgres says that the value was null
    return DeadLetterRecord(key, value, kept + added)


def original_headers(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The headers the record had before it was dead-lettered."""
    return [(name, content) for name, content in headers if not name.startswith(HEADER_PREFIX)]
