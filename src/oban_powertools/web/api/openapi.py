"""The OpenAPI 3.1 document of the API, made of its rows: ``powertools openapi`` prints it, docs/reference keeps it."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from ...errors import (
    InvalidArgumentError,
    NotAuthorizedError,
    NotFoundError,
    PowertoolsError,
    ReasonRequiredError,
    ReasonTooShortError,
    UnattributedActorError,
)
from ..answers import status_of, title_of
from .endpoint import SLOW, Endpoint, Shape
from .endpoints import DOCUMENT, ENDPOINTS, ROOT
from .problems import MEDIA, SCHEMA
from .schemas import Schema, Schemas
from .values import Parameter

_ABOUT: Final = """\
What the pages of the console show and do, for programs: the same calls, the same actor, the same policy. The host of
the console says who sent a request. Ids are text, instants RFC 3339 in UTC, durations seconds. Lists are pages:
`?limit=&cursor=`, answered with `items`, `next_cursor` and `has_more`. A refusal is a problem (RFC 9457) with a stable
`code`. A request that changes something is `application/json` and names its reason. What is added later within v1 are
new paths, new optional inputs and new keys of answers: ignore what you do not know.\
"""

_ALWAYS: Final = (401, 403, 422, 500, 503)
"""Statuses of every endpoint: somebody unknown, somebody who may not come here, an unknown parameter, a fault."""

_WITH_BODY: Final = (400, 413, 415)
_OF_ACTS: Final = (NotAuthorizedError, UnattributedActorError, ReasonRequiredError, ReasonTooShortError)


@cache
def document() -> dict[str, Any]:
    """The document; keys in a fixed order."""
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(f"{ROOT}{endpoint.path}", {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    paths |= _beside()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Oban Powertools", "version": "1", "summary": "The console, as JSON.", "description": _ABOUT},
        "servers": [{"url": "/", "description": "Where the console is mounted."}],
        "security": [{"host": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in ENDPOINTS)],
        "paths": paths,
        "components": {
            "schemas": {"Problem": SCHEMA, **dict(sorted(schemas.components.items()))},
            "securitySchemes": {
                "host": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Whatever the `actor` function of the host accepts.",
                }
            },
        },
    }


def _operation(endpoint: Endpoint, schemas: Schemas) -> Schema:
    return {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        **({"description": description} if (description := _describe(endpoint)) else {}),
        "parameters": [
            *(_parameter(one, "path") for one in endpoint.path_inputs),
            *(_parameter(one, "query") for one in endpoint.query),
        ],
        **({"requestBody": _body(endpoint.body)} if endpoint.method != "GET" else {}),
        "responses": {**_answers(endpoint.answer, schemas), **_refusals(endpoint)},
        **({"x-act": str(endpoint.act), "x-permission": endpoint.act.row.permission} if endpoint.act else {}),
    }


def _describe(endpoint: Endpoint) -> str:
    more = " ".join(endpoint.description.split())
    if endpoint.act is None:
        return more
    acts = ", ".join(f"`{act}`" for act in endpoint.acts)
    return f"{more} The policy is asked for: {acts}. The same request again: {endpoint.repeat}".strip()


def _parameter(one: Parameter, place: str) -> Schema:
    schema = dict(one.value.schema)
    if one.default is not None:
        schema["default"] = one.default
    return {
        "name": one.name,
        "in": place,
        "required": place == "path" or one.required,
        "description": one.about,
        **(
            {"content": {"application/json": {"schema": schema}}}
            if schema.get("type") == "object"
            else {"schema": schema}
        ),
        **({"example": one.example} if one.example is not None and schema.get("type") != "object" else {}),
    }


def _body(inputs: Iterable[Parameter]) -> Schema:
    fields = tuple(inputs)
    properties = {one.name: {**one.value.schema, "description": one.about} for one in fields}
    example = {one.name: one.example for one in fields if one.example is not None}
    required = [one.name for one in fields if one.required]
    schema = {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _answers(answer: Shape, schemas: Schemas) -> Schema:
    content = {
        media: {"schema": _schema_of(answer, schemas) if _is_json(media) else {"type": "string"}}
        for media in answer.media
    }
    headers: Schema = {"X-Request-Id": {"schema": {"type": "string"}}}
    if answer.tagged:
        headers["ETag"] = {"schema": {"type": "string"}}
    made = {
        str(status): {"description": answer.about, "headers": headers, "content": content} for status in answer.statuses
    }
    return {**made, **({"304": {"description": "It is as `If-None-Match` says."}} if answer.tagged else {})}


def _is_json(media: str) -> bool:
    return media == "application/json"


def _schema_of(answer: Shape, schemas: Schemas) -> Schema:
    extra = {name: schemas.of_field(name, kind) for name, kind in answer.extra.items()}
    if answer.paged:
        properties: Schema = {
            "items": {"type": "array", "items": schemas.of(answer.kind)},
            "next_cursor": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "has_more": {"type": "boolean"},
            **extra,
        }
        return {"type": "object", "properties": properties, "required": list(properties)}
    if answer.kind is None:
        return {"type": "object", "properties": extra, "required": list(extra)}
    record = schemas.of(answer.kind)
    if not extra:
        return record
    return {"allOf": [record, {"type": "object", "properties": extra, "required": list(extra)}]}


def _refusals(endpoint: Endpoint) -> Schema:
    codes: dict[int, list[str]] = {status: [] for status in _ALWAYS}
    if endpoint.method != "GET":
        codes |= {status: [] for status in _WITH_BODY}
    if endpoint.rate is not None or endpoint.within is SLOW or "text/event-stream" in endpoint.answer.media:
        codes[429] = []
    errors: list[type[PowertoolsError]] = [InvalidArgumentError, *endpoint.errors]
    if endpoint.act is not None:
        errors += _OF_ACTS
        codes[409] = []
    for error in errors:
        codes.setdefault(status_of(error), []).append(error.code)
        if issubclass(error, NotFoundError) and error.names:
            codes.setdefault(410, []).append(error.code)
    return {str(status): _refusal(status, codes[status]) for status in sorted(codes)}


def _refusal(status: int, codes: list[str]) -> Schema:
    known = f": {', '.join(f'`{code}`' for code in dict.fromkeys(codes))}" if codes else ""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": f"{title_of(status)}{known}.", "content": {MEDIA: {"schema": schema}}}


def _beside() -> dict[str, Any]:
    """What is no resource: this document, and what a supervisor asks."""
    text = {"text/plain": {"schema": {"type": "string"}}}
    problem = {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        DOCUMENT: {
            "get": {
                "operationId": "get_openapi",
                "tags": ["Acts"],
                "summary": "This document.",
                "responses": {
                    "200": {"description": "It.", "content": {"application/json": {"schema": {"type": "object"}}}},
                    "401": {"description": f"{title_of(401)}.", "content": problem},
                },
            }
        },
        "/healthz": {
            "get": {
                "operationId": "get_health",
                "tags": ["Acts"],
                "summary": "Whether the process answers; asks no database, and nobody who asks is unknown.",
                "security": [],
                "responses": {"200": {"description": "It does.", "content": text}},
            }
        },
        "/readyz": {
            "get": {
                "operationId": "get_readiness",
                "tags": ["Acts"],
                "summary": "Whether the database answers.",
                "security": [],
                "responses": {
                    "200": {"description": "It does.", "content": text},
                    "503": {"description": "It does not: who asks again learns when.", "content": text},
                },
            }
        },
    }
