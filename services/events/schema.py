"""The wire contract as documents for other people's tools: JSON Schema per event, one AsyncAPI 3 document for all.

`python -m services.events.schema` writes them below `docs/contract`; with `--check` it compares instead and names what
differs. They are generated from the models, so they cannot say anything else than the code does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import orjson
import yaml

from services.errors import DeadLetterReason
from services.events.catalogue import input_types, output_types
from services.events.codec import ATTRIBUTE_LIMIT, DEFAULT_TENANT
from services.events.types import EventType

__all__ = ["asyncapi", "documents", "event_schema", "main"]

#: Version of the contract, not of the program.
CONTRACT_VERSION = "1.0.0"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CLOUDEVENT = "application/cloudevents+json"


def documents() -> dict[str, str]:
    """Every generated file: path below `docs/contract` → content."""
    files = {
        f"{event.topic}.v{event.version}.schema.json": _json(event_schema(event))
        for event in (*input_types(), *output_types())
    }
    # Through JSON and back, so that no object is shared: YAML would write anchors.
    files["asyncapi.yaml"] = yaml.safe_dump(
        orjson.loads(orjson.dumps(asyncapi())), sort_keys=False, allow_unicode=True, width=120
    )
    return files


def event_schema(event: EventType) -> dict[str, Any]:
    """JSON Schema (2020-12) of a whole structured-mode event, attributes and data."""
    attribute = {"type": "string", "minLength": 1, "maxLength": ATTRIBUTE_LIMIT}
    data = event.model.model_json_schema(mode="validation", ref_template="#/$defs/{model}")
    definitions = data.pop("$defs", {})
    return {
        "$schema": _DIALECT,
        "$id": f"urn:tidegate:{event.topic}:v{event.version}",
        "title": event.type,
        "description": data.get("description", ""),
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**attribute, "description": "Unique per source. The same id again is the same event again."},
            "source": {**attribute, "format": "uri-reference", "description": "Who publishes."},
            "type": {"const": event.type},
            "tenant": {**attribute, "default": DEFAULT_TENANT, "description": "Whose policy applies."},
            "time": {"type": "string", "format": "date-time"},
            "subject": attribute,
            "datacontenttype": {"type": "string", "examples": ["application/json"]},
            "traceparent": {"type": "string", "description": "W3C trace context."},
            "data": data,
        },
    } | ({"$defs": definitions} if definitions else {})


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: which topics Tidegate reads and writes, seen from Tidegate."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for action, events in (("receive", input_types()), ("send", output_types())):
        for event in events:
            name = _identifier(event.topic)
            schema = event.model.model_json_schema(mode="validation", ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas[event.model.__name__] = schema
            messages[name] = _message(event)
            channels[name] = _channel(event.topic, name, f"Events of type {event.type}, keyed by data.{event.key}.")
            operations[f"{action}{name[0].upper()}{name[1:]}"] = _operation(action, name)
    for event in input_types():
        name, source = _identifier(event.dead_letter_topic), _identifier(event.topic)
        messages[name] = _dead_letter(event)
        channels[name] = _channel(event.dead_letter_topic, name, f"Records of {event.topic} that can never succeed.")
        operations[f"reject{source[0].upper()}{source[1:]}"] = _operation("send", name)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidegate",
            "version": CONTRACT_VERSION,
            "description": "Every message is a CloudEvents 1.0 event in JSON, in structured or binary mode. "
            "A deployment may put a prefix before the topic names. Unknown fields are ignored.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _CLOUDEVENT,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "messageTraits": {"cloudEvent": _cloudevent_trait()},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _message(event: EventType) -> dict[str, Any]:
    return {
        "name": event.type,
        "title": event.type,
        "summary": (event.model.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{event.model.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": f"data.{event.key}"}}},
    }


def _cloudevent_trait() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": ATTRIBUTE_LIMIT}
    return {
        "description": "In binary mode the payload is the record's value and the attributes are these headers. In "
        f"structured mode ({_CLOUDEVENT}) the value is an object with the attributes, without ce_, and `data`.",
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
            "properties": {
                "ce_specversion": {"const": "1.0"},
                "ce_id": text,
                "ce_source": text,
                "ce_type": text,
                "ce_tenant": {**text, "default": DEFAULT_TENANT},
                "ce_time": {"type": "string", "format": "date-time"},
                "ce_subject": text,
            },
        },
    }


def _dead_letter(event: EventType) -> dict[str, Any]:
    return {
        "name": event.dead_letter_topic,
        "title": f"A rejected record of {event.topic}",
        "summary": "The original key, value and headers, byte for byte, and why it was rejected.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": ["dlq-reason"],
            "properties": {"dlq-reason": {"type": "string", "enum": [reason.value for reason in DeadLetterReason]}},
        },
        "payload": {"description": "The original value; it may be anything."},
    }


def _channel(topic: str, message: str, description: str) -> dict[str, Any]:
    return {
        "address": topic,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _operation(action: str, name: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }


def _identifier(topic: str) -> str:
    first, *rest = topic.replace("_", ".").split(".")
    return first + "".join(part.capitalize() for part in rest)


def _json(document: dict[str, Any]) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def main(arguments: list[str] | None = None) -> int:
    """Write the documents, or compare them; 1 if they differ."""
    parser = argparse.ArgumentParser(prog="python -m services.events.schema", description="Generate docs/contract.")
    parser.add_argument("--check", action="store_true", help="compare with the files and write nothing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "docs" / "contract")
    options = parser.parse_args(arguments)
    wanted = documents()
    present = (
        {p.name: p.read_text("utf-8") for p in options.out.glob("*") if p.is_file()} if options.out.is_dir() else {}
    )
    stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    if options.check:
        if stale:
            sys.stderr.write(f"{', '.join(stale)}: not what the code says; run `make contract`\n")
        return 1 if stale else 0
    options.out.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in wanted:
            (options.out / name).write_text(wanted[name], "utf-8")
        else:
            (options.out / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
