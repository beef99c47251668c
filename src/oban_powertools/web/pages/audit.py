"""The audit: who did what, why, and what came of it; one record whole; its chain; its export.

The rule that must never break: an export is recorded before its first line, so it is a POST.
"""

import csv
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields
from typing import Any, Final, cast

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from ...acts import Action, TargetType
from ...operators.audit import AuditFilter, AuditRecord, Outcome
from ...operators.authorization import ActorType, Surface, Target
from ..page import ROWS, Page, get, post

_FILTERS: Final = ("actor", "type", "surface", "action", "target", "outcome", "since", "until")

_COLUMNS: Final = tuple(field.name for field in fields(AuditRecord))

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""With one of these a spreadsheet takes a text for a formula."""

_EVERYTHING: Final = Target(type=TargetType.AUDIT, id="*")


async def list_records(page: Page) -> Response:
    """The list."""
    given, cursor = _given(page), page.query("cursor")
    chosen = _filter(page)
    found, chain = await page.parts(
        page.calls.audit.list(**_arguments(chosen), before=cursor, limit=ROWS + 1), page.calls.audit.check()
    )
    rows: list[AuditRecord] = found.value or []
    return page.render(
        "audit.html",
        title="Audit",
        found=found,
        chain=chain,
        given=given,
        rows=rows[:ROWS],
        next=str(rows[ROWS - 1].id) if len(rows) > ROWS else None,
        first=cursor is None,
        is_filtered=any(given.values()),
        export=page.url("/audit/export", **given),
        refusal=await page.refusal(Action.AUDIT_EXPORT, _EVERYTHING),
        words=_WORDS,
    )


def _given(page: Page) -> dict[str, str | None]:
    return {name: page.query(name) for name in _FILTERS}


def _filter(page: Page) -> AuditFilter:
    kind, separator, target_id = (page.query("target") or "").partition(":")
    return AuditFilter(
        actor=page.query("actor"),
        action=page.query("action"),
        target_type=kind.strip() or None,
        target_id=target_id.strip() or None if separator else None,
        outcome=page.word("outcome", Outcome),
        actor_type=page.word("type", ActorType),
        surface=page.word("surface", Surface),
        since=page.instant("since"),
        until=page.instant("until"),
    )


def _arguments(chosen: AuditFilter) -> dict[str, Any]:
    return {field.name: getattr(chosen, field.name) for field in fields(AuditFilter)}


_WORDS: Final[Mapping[str, list[str]]] = {
    "outcome": [outcome.value for outcome in Outcome],
    "type": [kind.value for kind in ActorType],
    "surface": [door.value for door in Surface],
    "action": sorted(action.value for action in Action),
}
"""Filter -> what may be chosen."""


async def show_record(page: Page) -> Response:
    """One record."""
    record = await page.calls.audit.get(page.param("id"))
    chain = await page.part(page.calls.audit.check(record.id))
    return page.render(
        "audit_record.html",
        title=f"Record {record.id}",
        crumbs=[("Audit", page.url("/audit"))],
        record=record,
        chain=chain,
        changes=_changes(record.before, record.after),
        details={name: value for name, value in record.details.items() if name not in ("message", "code")},
    )


def _changes(before: Any, after: Any) -> list[tuple[str, str, str]]:
    """Path, value before and value after of what differs; everything where one of the two is missing."""
    was, now = _flat(before), _flat(after)
    paths = list(dict.fromkeys([*was, *now]))
    return [(path, was.get(path, ""), now.get(path, "")) for path in paths if was.get(path) != now.get(path)]


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        items = cast("dict[str, Any]", value).items()
        parts = [_flat(item, f"{path}.{name}" if path else name) for name, item in items]
        return {name: text for part in parts for name, text in part.items()}
    if value is None:
        return {}
    return {path or "value": value if isinstance(value, str) else orjson.dumps(value).decode()}


async def ask_export(page: Page) -> Response:
    """The form of an export."""
    _filter(page)
    return page.render(
        "audit_export.html",
        title="Export the audit",
        crumbs=[("Audit", page.url("/audit"))],
        given={name: value for name, value in _given(page).items() if value},
        refusal=await page.refusal(Action.AUDIT_EXPORT, _EVERYTHING),
    )


async def export(page: Page) -> Response:
    """Every record that fits, as a stream."""
    form = (await page.form()).text("format")
    if form not in _WRITERS:
        raise HTTPException(400, "An export is csv or jsonl.")
    lines = page.calls.audit.export(chosen=_filter(page), **page.by)
    # What is refused is refused before the answer begins.
    first = await anext(lines, None)
    kind, write = _WRITERS[form]
    headers = {"Content-Disposition": f'attachment; filename="audit.{form}"'}
    return StreamingResponse(write(first, lines), media_type=kind, headers=headers)


async def _jsonl(first: str | None, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    if first is not None:
        yield f"{first}\n"
    async for line in rest:
        yield f"{line}\n"


async def _csv(first: str | None, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield _row(_COLUMNS)
    if first is not None:
        yield _csv_line(first)
    async for line in rest:
        yield _csv_line(line)


def _csv_line(line: str) -> str:
    record = orjson.loads(line)
    return _row([_csv_value(record.get(name)) for name in _COLUMNS])


def _csv_value(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(_FORMULA) else text


def _row(values: Any) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


_WRITERS: Final[Mapping[str, tuple[str, Any]]] = {
    "csv": ("text/csv; charset=utf-8", _csv),
    "jsonl": ("application/x-ndjson", _jsonl),
}
"""Form -> its media type, and what writes it."""

ROUTES: Final = (
    get("/audit", list_records),
    get("/audit/export", ask_export),
    post("/audit/export", export),
    get("/audit/{id}", show_record),
)
