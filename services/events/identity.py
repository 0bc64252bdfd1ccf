"""Who an event is: the id of its decision and the hash of its content. Both are for ever: they are stored.

    decision_id   same tenant, source, event id and pipeline → same id, on every machine and in every release
    content_hash  same data → same hash, whatever the order of keys, white space or escapes on the wire

Together they make the `id_reuse` rule: an id that comes back with another hash is not a repetition but an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b, sha1
from typing import Any
from uuid import UUID

import orjson

__all__ = ["DECISION_NAMESPACE", "content_hash", "decision_id"]

#: Never change it: the same event would be decided twice.
DECISION_NAMESPACE = UUID("c2a6f1de-6f2b-5d0e-9b63-6a1d0c7f52e4")
_NAMESPACE_BYTES = DECISION_NAMESPACE.bytes

_VERSION_MASK = ~(0xF000 << 64) & ~(0xC000 << 48)
_VERSION_5 = (5 << 76) | (0x8000 << 48)


def decision_id(tenant: str, source: str, event_id: str, pipeline: str) -> UUID:
    """RFC 9562 UUID version 5 of `tenant|source|event id|pipeline`.

    `%` and `|` inside a part are percent-encoded, so different quadruples never make the same name.
    """
    name = f"{tenant}|{source}|{event_id}|{pipeline}"
    if "%" in name or name.count("|") != 3:
        name = "|".join(part.replace("%", "%25").replace("|", "%7C") for part in (tenant, source, event_id, pipeline))
    # uuid.uuid5 does the same at twice the cost; a test holds the two together.
    digest = sha1(_NAMESPACE_BYTES + name.encode("utf-8"), usedforsecurity=False).digest()
    return UUID(int=(int.from_bytes(digest[:16]) & _VERSION_MASK) | _VERSION_5)


def content_hash(data: Mapping[str, Any]) -> bytes:
    """16 bytes of BLAKE2b over canonical JSON: keys sorted, no white space, UTF-8.

    `1` and `1.0` are different content. `data` must be a decoded event's (no NaN, at most 254 deep).
    """
    return blake2b(orjson.dumps(data, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
