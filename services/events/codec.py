"""CloudEvents 1.0 on Kafka: a record in, an `Envelope` or a precise refusal out; and the way back.

Both content modes of the Kafka protocol binding are read. A record whose content type begins with
`application/cloudevents` is structured; else one with any `ce_` header is binary; else it is taken as structured, because
most people who publish by hand set no header at all.

Nothing here knows which types exist or what their data looks like: see `types` and `content`. A refusal's message names
the attribute or the byte, never what the sender wrote.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Sequence
from typing import Any, NoReturn

import orjson

from services.errors import DeadLetterReason, PermanentError
from services.events import strict_json
from services.events.envelope import Envelope
from services.events.identity import content_hash, decision_id
from services.events.times import rfc3339

__all__ = ["ATTRIBUTE_LIMIT", "DEFAULT_TENANT", "content_hash", "decision_id", "decode", "encode"]

DEFAULT_TENANT = "default"

#: Code points of one attribute. They become index keys, headers and log fields.
ATTRIBUTE_LIMIT = 1024
_STRUCTURED = "application/cloudevents"
#: CloudEvents 1.0, section 3.1: any type whose subtype is json or ends with +json. The characters are those of RFC 6838.
_JSON_TYPE = re.compile(r"[a-z0-9!#$&^_.+\-]+/([a-z0-9!#$&^_.+\-]+\+)?json\s*(;.*)?", re.IGNORECASE | re.DOTALL)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def decode(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    *,
    max_bytes: int,
    max_depth: int = 32,
) -> Envelope:
    """Read one Kafka record; `max_bytes` bounds its value, `max_depth` the nesting of its JSON.

    Raises:
        PermanentError: TOO_LARGE, whatever `strict_json.loads` refuses, NOT_CLOUDEVENT for an attribute that is missing,
            empty, not a string, too long or malformed, or SCHEMA where `data` is not an object.
    """
    if value is not None and len(value) > max_bytes:
        raise PermanentError(DeadLetterReason.TOO_LARGE, f"the value has {len(value)} bytes; the limit is {max_bytes}")
    if not headers:
        return _structured(value, max_depth, None)

    content_type, traceparent, attributes = _read_headers(headers)
    if content_type is not None and content_type.lower().startswith(_STRUCTURED):
        if not _JSON_TYPE.fullmatch(content_type):
            _not_cloudevent("content-type is a CloudEvents format other than JSON, or a batch")
        return _structured(value, max_depth, traceparent)
    if not attributes:
        return _structured(value, max_depth, traceparent)

    _check_json_type(content_type)
    if not value:
        _data_not_an_object()
    attributes.setdefault("traceparent", traceparent)
    return _envelope(attributes, strict_json.loads(value, max_depth=max_depth))


def _read_headers(headers: Sequence[tuple[str, bytes]]) -> tuple[str | None, str | None, dict[str, Any]]:
    """The content type, the trace context and the CloudEvents attributes, which are empty in structured mode."""
    content_type: str | None = None
    traceparent: str | None = None
    attributes: dict[str, Any] = {}
    for key, raw in headers:
        name = key.lower()
        if name.startswith("ce_"):
            if name[3:] in attributes:
                _not_cloudevent("a ce_ header comes twice")
            attributes[name[3:]] = _header_text(raw, name[3:])
        elif name == "content-type":
            content_type = _header_text(raw, name)
        elif name == "traceparent":
            traceparent = (raw or b"").decode("ascii", "replace")
    return content_type, traceparent, attributes


def _header_text(raw: bytes | None, name: str) -> str | None:
    shown = name if name in _NAMES else "of an extension attribute"
    if raw is None:
        return None
    if b"\0" in raw:
        raise PermanentError(DeadLetterReason.NUL_CHARACTER, f"a NUL character in the header {shown}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise PermanentError(DeadLetterReason.NOT_UTF8, f"the header {shown} is not UTF-8") from None


def _structured(value: bytes | None, max_depth: int, traceparent: str | None) -> Envelope:
    if not value:
        raise PermanentError(DeadLetterReason.NOT_JSON, "the record has no value")
    event = strict_json.loads(value, max_depth=max_depth)
    if type(event) is not dict:
        _not_cloudevent("the value is JSON, but not an object")
    if traceparent is not None:
        event.setdefault("traceparent", traceparent)
    if event.get("data_base64") is not None:  # JSON's null is an attribute that is not there
        return _envelope(event, _base64_data(event, max_depth))
    if "datacontenttype" in event:
        _check_json_type(event["datacontenttype"])
    return _envelope(event, event.get("data"))


def _base64_data(event: dict[str, Any], max_depth: int) -> Any:
    encoded = event["data_base64"]
    if event.get("data") is not None or type(encoded) is not str:
        _not_cloudevent("data_base64 is not a string, or stands beside data")
    _check_json_type(event.get("datacontenttype"))
    try:
        value = b64decode(encoded, validate=True)
    except ValueError:
        _not_cloudevent("data_base64 is not base64")
    return strict_json.loads(value, max_depth=max_depth)


def _envelope(attributes: dict[str, Any], data: Any) -> Envelope:
    version = attributes.get("specversion")
    if version != "1.0":
        _not_cloudevent("specversion is missing" if version is None else "specversion is not 1.0")
    event_id = _required(attributes, "id")
    source = _required(attributes, "source")
    event_type = _required(attributes, "type")
    tenant = _optional(attributes, "tenant")
    time = _optional(attributes, "time")
    if time is not None:
        try:
            time = rfc3339(time)
        except ValueError as error:
            _not_cloudevent(f"time is {error}")
    traceparent = attributes.get("traceparent")
    if traceparent is not None and not (type(traceparent) is str and _TRACEPARENT.fullmatch(traceparent)):
        traceparent = None
    if type(data) is not dict:
        _data_not_an_object()
    return Envelope(
        event_id,
        source,
        event_type,
        DEFAULT_TENANT if tenant is None else tenant,
        data,
        time,
        _optional(attributes, "subject"),
        traceparent,
    )


def _required(attributes: dict[str, Any], name: str) -> str:
    value = attributes.get(name)
    if type(value) is str and 0 < len(value) <= ATTRIBUTE_LIMIT:
        return value
    raise _bad_attribute(name, value)


def _optional(attributes: dict[str, Any], name: str) -> str | None:
    value = attributes.get(name)  # the JSON format allows null for an attribute that is not set
    if value is None or (type(value) is str and 0 < len(value) <= ATTRIBUTE_LIMIT):
        return value
    raise _bad_attribute(name, value)


def _bad_attribute(name: str, value: object) -> PermanentError:
    if value is None:
        fault = "missing"
    elif type(value) is not str:
        fault = "not a string"
    else:
        fault = f"longer than {ATTRIBUTE_LIMIT} characters" if value else "empty"
    return PermanentError(DeadLetterReason.NOT_CLOUDEVENT, f"not a CloudEvent: {name} is {fault}")


def _check_json_type(content_type: object) -> None:
    if content_type is not None and not (type(content_type) is str and _JSON_TYPE.fullmatch(content_type)):
        _not_cloudevent("the data's content type is not JSON")


def _data_not_an_object() -> NoReturn:
    raise PermanentError(DeadLetterReason.SCHEMA, "data is not an object")


def _not_cloudevent(what: str) -> NoReturn:
    raise PermanentError(DeadLetterReason.NOT_CLOUDEVENT, f"not a CloudEvent: {what}")


#: Header names that a message may show: the rest may be anything a sender wrote.
_NAMES = frozenset({"id", "source", "type", "specversion", "time", "subject", "tenant", "dataschema", "content-type"})


def encode(
    *,
    id: str,  # noqa: A002 - the attribute's name in CloudEvents
    source: str,
    type: str,  # noqa: A002
    tenant: str,
    time: str,
    subject: str | None,
    data: bytes,
    traceparent: str | None = None,
) -> bytes:
    """A CloudEvent in structured mode. `data` is JSON already and is spliced in unread: it must be well-formed."""
    attributes = {"specversion": "1.0", "id": id, "source": source, "type": type, "tenant": tenant, "time": time}
    if subject is not None:
        attributes["subject"] = subject
    if traceparent is not None:
        attributes["traceparent"] = traceparent
    attributes["datacontenttype"] = "application/json"
    return b'%s,"data":%s}' % (orjson.dumps(attributes)[:-1], data)
