"""One repair for many targets: the filter or the ticked rows, the manifest, the decision, the progress, each result.

A manifest is a permalink, as a preview is, and holds no token. The rules that must never break: only what is in the
manifest is touched, and the execution goes on where it stopped, whoever closes the page.
"""

import asyncio
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...acts import IN_BULK, Action, Severity, TargetType
from ...errors import (
    BulkCountError,
    PowertoolsError,
    PreviewConsumedError,
    PreviewExpiredError,
    ReasonRequiredError,
    ReasonTooShortError,
)
from ...lifeline import Bulk, Incident
from ...lifeline.repairs.bulk import CONFIRMED_ABOVE, MOST
from ...lifeline.repairs.filters import FILTERS
from ...operators.authorization import Target
from ...plural import counted
from ...states import Cause, JobState, StepState, WorkflowState
from ..act_forms import FIELDS, ActField, act_verb
from ..answers import Problem
from ..page import ROWS, Page, get, logger, post
from ..posted import Decision, PostedForm
from ..rates import Rate
from .act import find_fingerprint

_WAITED: Final = timedelta(seconds=2)
"""How long a browser waits for the end of a small bulk; a larger one goes on behind its page."""

_LOOKS_EVERY: Final = "2"
"""Seconds after which the page of a running bulk is loaded again, also without a script."""

_STATES: Final[Mapping[TargetType, tuple[str, ...]]] = {
    TargetType.JOB: tuple(JobState),
    TargetType.CALLBACK: tuple(JobState),
    TargetType.STEP: tuple(StepState),
    TargetType.WORKFLOW: tuple(WorkflowState),
}

_LABELS: Final = {
    "state": "State",
    "queue": "Queue",
    "worker": "Worker",
    "executor_id": "Executor",
    "cause": "Cause",
    "step": "Step",
    "workflow_name": "Workflow name",
    "workflow_id": "Workflow id",
    "tag": "Tag",
    "signal": "Signal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a bulk repair is to be about, as it was typed or ticked."""

    action: Action
    """The repair."""

    values: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name of a filter or of an argument -> what was typed."""

    ids: tuple[str, ...] = ()
    """Targets that were ticked."""

    incident: str = ""
    """The incident that it is for, by its id or its fingerprint."""


async def choose(page: Page) -> Response:
    """The form: which repair, of what."""
    action = _action(page.query("act") or Action.JOB_RETRY)
    values = {name: page.query(name) or "" for name in _names(action)}
    return await _form(page, Chosen(action=action, values=values, ids=tuple(page.request.query_params.getlist("id"))))


async def preview(page: Page) -> Response:
    """Make the manifest, and go to it."""
    chosen = _read(await page.form())
    filters = {name: chosen.values[name] or None for name in _filters(chosen.action)}
    try:
        hold_for = _hold_for(chosen)
    except ValueError as error:
        problem = Problem(status=422, code="invalid_argument", title="It cannot be read", detail=str(error))
        return await _form(page, chosen, problem)
    try:
        made = await page.calls.lifeline.preview_bulk(
            page.actor,
            chosen.action,
            {**filters, "ids": list(chosen.ids) or None},
            incident_fingerprint=await find_fingerprint(page, chosen.incident),
            hold_for=hold_for,
            source="web",
        )
    except PowertoolsError as error:
        problem = await page.problem_of(error)
        return await _form(page, chosen, problem)
    return page.redirect(f"/bulks/{made.id}")


async def bulk(page: Page) -> Response:
    """The manifest, its progress, or its result."""
    return await _show(page, await page.calls.lifeline.bulk_status(page.param("id")))


async def execute(page: Page) -> Response:
    """Begin it, or let it go on; a large one goes on behind its page."""
    form = await page.form()
    found = await page.calls.lifeline.bulk_status(page.param("id"))
    path = f"/bulks/{found.id}"
    if found.status == "done":
        return page.redirect(path)
    typed = Decision(reason=form.text("reason"), confirm=form.text("confirm"), read=form.ticked("read"))
    if found.status == "ready" and found.actor_id == page.actor.id and (errors := _unconfirmed(found, typed)):
        return await _show(page, found, replace(typed, errors=errors), status=422)
    # Its own actor's token, whoever asks: the call refuses all others, and that is recorded.
    token = (await page.calls.lifeline.bulk_status(found.id, token_for=found.actor_id)).preview_token
    reason = (found.reason or "") if found.status == "running" else typed.reason
    running = asyncio.ensure_future(
        page.calls.lifeline.execute_bulk(page.actor, token or "", reason, confirm_total=found.total, source="web")
    )
    await asyncio.wait([running], timeout=_WAITED.total_seconds())
    response = page.redirect(path)
    if not running.done():
        response.background = BackgroundTask(_finish, running, found.id)
        return response
    try:
        running.result()
    except (PreviewConsumedError, PreviewExpiredError):
        return response
    except (ReasonRequiredError, ReasonTooShortError, BulkCountError) as error:
        sentence = f"{str(error)[:1].upper()}{str(error)[1:]}."
        return await _show(page, found, replace(typed, errors={"reason": sentence}), status=422)
    except PowertoolsError as error:
        problem = await page.problem_of(error)
        return await _show(page, found, typed, problem=problem, status=problem.status)
    return response


async def manifest(page: Page) -> Response:
    """Every target with its outcome, as a file."""
    found = page.calls.as_displayed(await page.calls.lifeline.bulk_status(page.param("id")))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["target", "outcome", "detail", "ended_at"])
    writer.writerows((item.target_id, item.outcome, item.detail or "", item.ended_at or "") for item in found.items)
    headers = {"Content-Disposition": f'attachment; filename="bulk-{found.id}.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


async def _form(page: Page, chosen: Chosen, problem: Problem | None = None) -> Response:
    kind = chosen.action.row.targets[0]
    return page.render(
        "bulk_form.html",
        title=f"{act_verb(chosen.action)} many {kind.replace('_', ' ')}s",
        status=problem.status if problem else 200,
        chosen=chosen,
        row=chosen.action.row,
        filters=[(name, _LABELS[name]) for name in _filters(chosen.action)],
        choices={"state": _STATES.get(kind, ()), "cause": tuple(Cause)},
        fields=_fields(chosen.action),
        acts=[act for act in IN_BULK if act.row.targets[0] is kind],
        kinds={each.row.targets[0]: each for each in reversed(IN_BULK)},
        kind=kind,
        problem=problem,
        refusal=await page.refusal(Action.PREVIEW_BULK, _target(str(chosen.action), chosen.action)),
        most=MOST,
    )


async def _show(
    page: Page, found: Bulk, typed: Decision | None = None, *, problem: Problem | None = None, status: int = 200
) -> Response:
    shown = page.calls.as_displayed(found)
    start, only = _start(page), page.query("outcome")
    items = [item for item in shown.items if only is None or item.outcome == only]
    kind = found.action.row.targets[0]
    own = found.actor_id == page.actor.id
    incident = await _incident(page, found)
    response = page.render(
        "bulk.html",
        title=f"{act_verb(found.action)} {counted(found.total, kind.replace('_', ' '))}",
        status=status,
        crumbs=[
            *([("Incidents", page.url("/incidents"))] if incident else []),
            *([(str(incident.id), page.url(f"/incidents/{incident.id}"))] if incident else []),
            (f"Bulk {found.id}", page.url(f"/bulks/{found.id}")),
        ],
        bulk=shown,
        incident=incident,
        hold_for=timedelta(seconds=found.arguments["hold_for"]) if "hold_for" in found.arguments else None,
        kind=kind,
        row=found.action.row,
        items=items[start : start + ROWS],
        listed=len(items),
        start=start,
        next=start + ROWS if start + ROWS < len(items) else None,
        only=only,
        done=found.total - found.outcomes.get("pending", 0),
        own=own,
        refusal=await page.refusal(Action.EXECUTE_BULK, _target(str(found.id), found.action)),
        typed=typed or Decision(),
        problem=problem,
        by_number=found.total > CONFIRMED_ABOVE,
        severity=Severity.SEVERE if found.total > CONFIRMED_ABOVE else Severity.HIGH,
    )
    if found.status == "running":
        response.headers["Refresh"] = _LOOKS_EVERY
    return response


async def _incident(page: Page, found: Bulk) -> Incident | None:
    if found.incident_fingerprint is None:
        return None
    return (await page.part(page.calls.lifeline.get_incident(found.incident_fingerprint))).value


def _unconfirmed(found: Bulk, typed: Decision) -> dict[str, str]:
    if found.total > CONFIRMED_ABOVE:
        return {} if typed.confirm == str(found.total) else {"confirm": f"Type {found.total} to confirm it."}
    return {} if typed.read else {"read": "Tick it, when you have read them."}


async def _finish(running: asyncio.Future[Bulk], bulk_id: int) -> None:
    """Wait for the end behind the page; whatever stops it, the page says how far it came and lets it go on."""
    try:
        await running
    except Exception:  # noqa: BLE001 - nobody waits for its answer
        logger.exception("bulk %s stopped; its page lets its actor go on", bulk_id)


def _action(name: str) -> Action:
    if name not in IN_BULK:
        raise HTTPException(404)
    return Action(name)


def _filters(action: Action) -> tuple[str, ...]:
    _, names = FILTERS[action.row.targets[0]]
    return tuple(name for name in names if name != "ids")


def _fields(action: Action) -> tuple[ActField, ...]:
    """What the form asks for; a result is one step's own, and many steps are completed without one."""
    return () if action is Action.STEP_COMPLETE else FIELDS.get(action, ())


def _names(action: Action) -> tuple[str, ...]:
    return (*_filters(action), *(each.name for each in _fields(action)))


def _read(form: PostedForm) -> Chosen:
    action = _action(form.text("act"))
    return Chosen(
        action=action,
        values={name: form.text(name) for name in _names(action)},
        ids=tuple(form.texts("id")),
        incident=form.text("incident"),
    )


def _hold_for(chosen: Chosen) -> Any:
    """The duration of a hold; None of other repairs. Raises ValueError with the sentence to show."""
    for each in _fields(chosen.action):
        return each.read(chosen.values[each.name])
    return None


def _start(page: Page) -> int:
    cursor = page.query("cursor") or "0"
    return int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 7 else 0


def _target(name: str, action: Action) -> Target:
    return Target(type=TargetType.BULK, id=name, repair=action)


ROUTES: Final = (
    get("/bulks/new", choose),
    post("/bulks", preview, rate=Rate.PREVIEW),
    get("/bulks/{id}", bulk),
    get("/bulks/{id}/manifest.csv", manifest),
    post("/bulks/{id}/execute", execute, rate=Rate.BULK),
)
