"""The published schemas of the receivers of webhooks, and a check of what we send against them.

Written down from PagerDuty's Events API v2 (openapiv3.json, and its bounds of the summary and the key), and
Alertmanager's API v2 (openapi.yaml). A field that is not in a schema is none that the receiver knows, so it is refused
here.
"""

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

URI = {"type": "string", "format": "uri"}
INSTANT = {"type": "string", "format": "date-time"}
LABELS = {"type": "object", "names": r"[a-zA-Z_][a-zA-Z0-9_]*", "additionalProperties": {"type": "string"}}

CHAT: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": 40_000}},
    "required": ["text"],
}

PAGERDUTY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "payload": {
            "type": "object",
            "properties": {
                "summary": {"type": "string", "maxLength": 1024},
                "timestamp": INSTANT,
                "severity": {"enum": ["critical", "warning", "error", "info"]},
                "source": {"type": "string"},
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object", "additionalProperties": {}},
            },
            "required": ["summary", "severity", "source"],
        },
        "routing_key": {"type": "string", "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "maxLength": 255},
        "client": {"type": "string"},
        "client_url": URI,
        "links": {
            "type": "array",
            "items": {"type": "object", "properties": {"href": URI, "text": {"type": "string"}}, "required": ["href"]},
        },
        "images": {"type": "array", "items": {"type": "object", "properties": {"src": URI}, "required": ["src"]}},
    },
    "required": ["routing_key", "event_action"],
}
"""The payload is required of a trigger, the key of all but a trigger."""

ALERTMANAGER: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "labels": LABELS,
            "annotations": LABELS,
            "startsAt": INSTANT,
            "endsAt": INSTANT,
            "generatorURL": URI,
        },
        "required": ["labels"],
    },
}

TYPES: dict[str, type] = {"object": dict, "array": list, "string": str}


def faults(value: Any, schema: dict[str, Any], path: str = "$") -> list[str]:
    """What of a value its schema does not allow."""
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{path}: {value!r} is none of {schema['enum']}"]
    kind = schema.get("type")
    if kind is None:
        return []
    if not isinstance(value, TYPES[kind]):
        return [f"{path}: {value!r} is no {kind}"]
    return {"object": _object, "array": _array, "string": _string}[kind](value, schema, path)


def _object(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value]
    for name, part in value.items():
        of = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        found += [f"{path}.{name}: not in the schema"] if of is None else faults(part, of, f"{path}.{name}")
        if "names" in schema and not re.fullmatch(schema["names"], name):
            found.append(f"{path}.{name}: no such name")
    return found


def _array(value: list[Any], schema: dict[str, Any], path: str) -> list[str]:
    return [fault for place, part in enumerate(value) for fault in faults(part, schema["items"], f"{path}[{place}]")]


def _string(value: str, schema: dict[str, Any], path: str) -> list[str]:
    if len(value) > schema.get("maxLength", len(value)):
        return [f"{path}: {len(value)} characters"]
    try:
        match schema.get("format"):
            case "uri":
                fine = bool(urlsplit(value).scheme and urlsplit(value).netloc)
            case "date-time":
                fine = datetime.fromisoformat(value).tzinfo is not None
            case _:
                fine = True
    except ValueError:
        fine = False
    return [] if fine else [f"{path}: {value!r} is no {schema['format']}"]
