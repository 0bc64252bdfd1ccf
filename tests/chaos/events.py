"""What a run publishes: good events, repetitions of them, and a share of rubbish that must be found as dead letters.

Built by hand, byte by byte, and not with the project's own publisher: what a stranger would send. Everything follows from the
run's name and seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zlib import crc32

import orjson

from tests.chaos.journal import Planned
from tests.load.texts import sample_texts

__all__ = ["decided", "refused", "review_data", "review_events", "toy_data"]

_RUBBISH_SHARE = 0.01
_REPEATED_SHARE = 0.01

#: From (event id, data) to the bytes of a bad event and the reason why it is refused.
_Rubbish = Callable[[str, dict[str, Any]], tuple[bytes, str]]


def review_data(event_id: str, text: str, generator: random.Random) -> dict[str, Any]:
    """The data of one `content.submitted`."""
    return {"content_id": f"content-{event_id}", "author_id": f"author-{generator.randrange(500)}", "text": text}


def toy_data(event_id: str, text: str) -> dict[str, Any]:
    """The data of one `toy.requested`."""
    return {"toy_id": f"toy-{event_id}", "text": text}


def review_events(run: str, count: int, seed: int, *, null_model: bool) -> Iterator[Planned]:
    """`count` good events, some of them twice, with rubbish in between. Every id begins with `run`.

    With the null model each decision carries a mark of its text, so the checker sees whether it got the right text's scores.
    """
    generator = random.Random(seed)
    for number, text in enumerate(sample_texts(count, seed)):
        event_id = f"{run}{number}"
        data = review_data(event_id, text, generator)
        expect = {"content_id": data["content_id"], "author_id": data["author_id"]}
        if null_model:
            expect["labels/injection"] = crc32(text.encode()) % 100 / 10_000
        copies = 2 if generator.random() < _REPEATED_SHARE else 1
        yield decided("content.submitted", event_id, data["author_id"], data, expect, copies)
        if generator.random() < _RUBBISH_SHARE:
            yield _rubbish(generator.choice(_KINDS), f"{run}r{number}", text, generator)


def decided(
    topic: str, event_id: str, key: str, data: dict[str, Any], expect: dict[str, Any], copies: int = 1
) -> Planned:
    """A good event: it must be decided, and the decision must say what `expect` says."""
    return Planned(event_id, key.encode(), _event(topic, event_id, data), expect=expect, copies=copies)


def refused(topic: str, event_id: str, key: str, data: dict[str, Any], reason: str) -> Planned:
    """An event that must end as a dead letter for this reason."""
    return Planned(event_id, key.encode(), _event(topic, event_id, data), reason=reason)


def _event(topic: str, event_id: str, data: dict[str, Any], **attributes: Any) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": "tidegate/chaos",
            "type": f"tidegate.{topic}.v1",
            "data": data,
            **attributes,
        }
    )


def _rubbish(make: _Rubbish, event_id: str, text: str, generator: random.Random) -> Planned:
    value, reason = make(event_id, review_data(event_id, text, generator))
    headers = (("trace", generator.randbytes(8)), ("trace", event_id.encode()))
    return Planned(event_id, event_id.encode(), value, headers, reason=reason)


def _not_json(event_id: str, data: dict[str, Any]) -> tuple[bytes, str]:
    return b'{"id": "' + event_id.encode() + b'", "data": ' + str(data["content_id"]).encode(), "not_json"


def _not_utf8(event_id: str, data: dict[str, Any]) -> tuple[bytes, str]:
    return _event("content.submitted", event_id, data) + b"\xff\xfe", "not_utf8"


def _not_an_event(event_id: str, data: dict[str, Any]) -> tuple[bytes, str]:
    return orjson.dumps({"id": event_id, **data}), "not_cloudevent"


def _of_another_type(event_id: str, data: dict[str, Any]) -> tuple[bytes, str]:
    return _event("content.forgotten", event_id, data), "unknown_type"


def _of_nobody(event_id: str, data: dict[str, Any]) -> tuple[bytes, str]:
    return _event("content.submitted", event_id, data, tenant="nobody"), "unknown_tenant"


def _without_a_text(event_id: str, data: dict[str, Any]) -> tuple[bytes, str]:
    return _event("content.submitted", event_id, {**data, "text": None}), "schema"


_KINDS: Sequence[_Rubbish] = (
    _not_json,
    _not_utf8,
    _not_an_event,
    _of_another_type,
    _of_nobody,
    _without_a_text,
)
