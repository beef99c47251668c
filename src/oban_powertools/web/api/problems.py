"""A refusal as JSON: RFC 9457, ``application/problem+json``, with our code and what may be done instead."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

from ...errors import InvalidArgumentError, PreviewDriftedError
from ..answers import Problem

MEDIA: Final = "application/problem+json"

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Why it was refused, or failed (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "`urn:oban-powertools:problem:` and the code."},
        "title": {"type": "string", "description": "A few words, the same for every problem of this status."},
        "status": {"type": "integer", "description": "Of HTTP."},
        "detail": {"type": "string", "description": "What was found, what was expected, what to do."},
        "code": {"type": "string", "description": "Stable: the code of the error in the reference."},
        "legal_next": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Acts that may be done instead; empty where none is known.",
        },
        "request_id": {"type": "string", "description": "Finds the request in the log and in the audit."},
        "fields": {
            "type": "array",
            "description": "Of a wrong input: which, what was found, and what was expected.",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("name", "found", "expected")},
                "required": ["name", "found", "expected"],
            },
        },
        "changed": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Of a preview that is no longer true: what has changed since.",
        },
    },
    "required": ["type", "title", "status", "detail", "code", "legal_next", "request_id"],
}
"""Its JSON Schema."""


def answer_problem(
    problem: Problem, request_id: str, error: BaseException | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that says what went wrong."""
    body = {
        "type": f"urn:oban-powertools:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "legal_next": list(problem.legal_next),
        "request_id": request_id,
        **_facts(error),
    }
    answer = Response(_bytes(body), problem.status, headers, MEDIA)
    if problem.retry_after:
        answer.headers.setdefault("Retry-After", str(problem.retry_after))
    if problem.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _facts(error: BaseException | None) -> dict[str, Any]:
    match error:
        case InvalidArgumentError():
            return {"fields": [{"name": error.argument, "found": error.found, "expected": error.expected}]}
        case PreviewDriftedError():
            return {"changed": list(error.changed)}
        case _:
            return {}


def _bytes(body: Mapping[str, Any]) -> bytes:
    """JSON also of a name that a client sent in no valid Unicode."""
    try:
        return orjson.dumps(body)
    except TypeError:
        plain = {
            name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
            for name, value in body.items()
            if name != "fields"
        }
        return orjson.dumps(plain)
