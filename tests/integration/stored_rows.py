"""Rows that a worker would have stored, written as a worker writes them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from services.events import DEFAULT_TENANT, decision_id
from services.storage import Database, ResultStore

__all__ = ["decision", "store_decision"]


def decision(event_id: str, at: datetime, **fields: Any) -> dict[str, Any]:
    """The `data` of a decision about the content `content-<event id>`."""
    return {
        "decision_id": str(decision_id(DEFAULT_TENANT, "test", event_id, "review")),
        "event_id": event_id,
        "decided_at": at.isoformat(),
        "content_id": f"content-{event_id}",
        "author_id": "a",
        "action": "flag",
        "severity": "medium",
        "labels": {"toxicity": 0.9, "spam": 0.01},
        "reasons": [{"source": "model", "label": "toxicity", "score": 0.9, "spans": [{"start": 1, "end": 4}]}],
        "policy": {"id": "default", "version": "1"},
    } | fields


def store_decision(
    database: Database, event_id: str, at: datetime | None = None, *, tenant: str = DEFAULT_TENANT, **fields: Any
) -> str:
    """One row of `review_decision`, stamped `at`; returns its decision id."""
    at = at or datetime.now(UTC)
    data = decision(event_id, at, **fields)
    row = {
        "decision_id": data["decision_id"],
        "content_hash": "00",
        "tenant": tenant,
        "event_id": event_id,
        "input_partition": 0,
        "input_offset": 0,
        "received_at": at.timestamp(),
        "decided_at": at.timestamp(),
        "output_key": "a",
        "data": data,
    }
    ResultStore(database, "review_decision").store(str(uuid.uuid4()), json.dumps([row]), "[]")
    return str(data["decision_id"])
