"""A preview: exactly what would change, what would not, what will be written down about it; then the decision.

Its address is a permalink, and holds no token: whoever may see the console may read it, and the token is fetched on the
server when its own actor executes it. The rules that must never break: what the page shows is the stored plan, not a
new one; what is executed is that plan, once.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import orjson
from starlette.responses import Response

from ...acts import Action, Severity
from ...errors import (
    ApprovalMissingError,
    NotAuthorizedError,
    PowertoolsError,
    PreviewConsumedError,
    PreviewDriftedError,
    PreviewExpiredError,
    PreviewOfAnotherActorError,
    ReasonRequiredError,
    ReasonTooShortError,
)
from ...lifeline import Change, Incident, RepairPreview
from ...operators.authorization import Target, TargetType
from ...plural import counted
from ..act_forms import act_title, act_verb, needs_form, risk_of
from ..answers import Problem
from ..changes import columns_of, describe_effect, group_rows, outcomes_of, plain_value
from ..page import ROWS, Page, get, post
from ..posted import Decision
from ..rates import Rate
from .effects import read_effect


async def preview(page: Page) -> Response:
    """The page."""
    return await _show(page, page.param("id"))


async def execute(page: Page) -> Response:
    """Execute it, once, and go to the result; a second time leads to the same result."""
    preview_id = page.param("id")
    form = await page.form()
    found = await page.calls.lifeline.get_preview(preview_id)
    if found.status == "consumed":
        return page.redirect(f"/repairs/{found.id}")
    typed = Decision(reason=form.text("reason"), confirm=form.text("confirm"), read=form.ticked("read"))
    if found.status == "ready" and found.actor_id == page.actor.id and (errors := _unconfirmed(found, typed)):
        typed = Decision(reason=typed.reason, confirm=typed.confirm, read=typed.read, errors=errors)
        return await _show(page, preview_id, typed, status=422)
    # Its own actor's token, whoever asks: the call refuses all others, and that is recorded.
    token = (await page.calls.lifeline.get_preview(preview_id, token_for=found.actor_id)).preview_token
    try:
        await page.calls.lifeline.execute_repair(page.actor, token or "", typed.reason, source="web")
    except PreviewConsumedError:
        return page.redirect(f"/repairs/{found.id}")
    except (PreviewDriftedError, PreviewExpiredError):
        return page.redirect(f"/previews/{found.id}", said="preview-over")
    except (ReasonRequiredError, ReasonTooShortError) as error:
        sentence = f"{str(error)[:1].upper()}{str(error)[1:]}."
        typed = Decision(reason=typed.reason, confirm=typed.confirm, read=typed.read, errors={"reason": sentence})
        return await _show(page, preview_id, typed, status=422)
    except PowertoolsError as error:
        problem = await page.problem_of(error)
        return await _show(page, preview_id, typed, problem=problem, status=problem.status)
    return page.redirect(f"/repairs/{found.id}")


async def approve(page: Page) -> Response:
    """Approve it as the second person, and come back to it."""
    preview_id = page.param("id")
    reason = (await page.form()).text("reason")
    typed = Decision(reason=reason)
    try:
        await page.calls.lifeline.approve_repair(page.actor, preview_id, reason, source="web")
    except (ReasonRequiredError, ReasonTooShortError) as error:
        sentence = f"{str(error)[:1].upper()}{str(error)[1:]}."
        return await _show(page, preview_id, Decision(reason=reason, errors={"reason": sentence}), status=422)
    except PowertoolsError as error:
        problem = await page.problem_of(error)
        return await _show(page, preview_id, typed, problem=problem, status=problem.status)
    return page.redirect(f"/previews/{preview_id}", said="preview-approved")


async def manifest(page: Page) -> Response:
    """The whole preview as a file."""
    found = await page.calls.lifeline.get_preview(page.param("id"))
    headers = {"Content-Disposition": f'attachment; filename="preview-{found.id}.json"'}
    content = orjson.dumps(found.to_dict(), option=orjson.OPT_INDENT_2)
    return Response(content, media_type="application/json", headers=headers)


async def _show(
    page: Page, preview_id: str, typed: Decision | None = None, *, problem: Problem | None = None, status: int = 200
) -> Response:
    lifeline = page.calls.lifeline
    found = await lifeline.get_preview(preview_id)
    # What it leads on to, while it is still to be decided about.
    check = await lifeline.check_preview(preview_id) if found.status in ("ready", "drifted") else None
    refusal = await lifeline.find_execution_refusal(preview_id, page.actor)
    moved = list(check.moved) if check else []
    state = "changed" if found.status == "ready" and moved else found.status
    risk = risk_of(found.severity, found.total_changes)
    start = _start(page)
    incident = await _incident(page, found)
    again = Target(type=TargetType(found.target_type), id=found.target_id, repair=found.action)
    return page.render(
        "preview.html",
        title=act_title(found.action, found.target_id),
        crumbs=_crumbs(page, found, incident),
        # Only the line that says whether it is current: nothing else moves while somebody decides.
        topics=_topics(found) if found.status == "ready" else (),
        status=status,
        preview=found,
        state=state,
        check=check,
        drawn=(await page.part(read_effect(page, found))).value,
        moved=[(each, _then(found, each.source, each.id)) for each in moved],
        refusal=refusal if refusal is None or not page.options.read_only else None,
        read_only=page.options.read_only,
        is_anothers=isinstance(refusal, PreviewOfAnotherActorError),
        not_allowed=refusal if isinstance(refusal, NotAuthorizedError) else None,
        awaits_approval=isinstance(refusal, ApprovalMissingError),
        approval=await lifeline.find_approval(preview_id),
        approve_refusal=await page.refusal(Action.REPAIR_APPROVE, again) if page.calls.wants_second_person else None,
        may_preview=await page.refusal(Action.PREVIEW_REPAIR, again),
        groups=group_rows(found.changes, start, start + ROWS),
        outcomes=outcomes_of(found.changes),
        shown=min(len(found.changes), start + ROWS),
        start=start,
        next=start + ROWS if start + ROWS < len(found.changes) else None,
        effect=describe_effect(found.effect),
        nots=list(_nots(found)),
        risk=risk,
        confirmed_by_name=risk is Severity.SEVERE,
        confirmed_by_tick=risk is Severity.HIGH,
        name=_name(found),
        verb=_button(found),
        typed=typed or Decision(),
        problem=problem,
        incident=incident,
        columns_of=columns_of,
        plain=plain_value,
        asks=needs_form(found.action, found.arguments.get("to")),
    )


def _crumbs(page: Page, found: RepairPreview, incident: Incident | None) -> list[tuple[str, str]]:
    own = (f"Preview {found.id}", page.url(f"/previews/{found.id}"))
    if incident is None:
        return [("Previews", page.url("/previews")), own]
    return [("Incidents", page.url("/incidents")), (str(incident.id), page.url(f"/incidents/{incident.id}")), own]


async def _incident(page: Page, found: RepairPreview) -> Incident | None:
    if found.incident_fingerprint is None:
        return None
    part = await page.part(page.calls.lifeline.get_incident(found.incident_fingerprint))
    return part.value


def _topics(found: RepairPreview) -> tuple[str, ...]:
    workflow_id = found.target_id.partition("/")[0]
    of_workflow = found.target_type in (TargetType.STEP, TargetType.WORKFLOW)
    return (f"workflow:{workflow_id}" if of_workflow else "workflow:all",)


def _start(page: Page) -> int:
    cursor = page.query("cursor") or "0"
    return int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 7 else 0


def _name(found: RepairPreview) -> str:
    """What a severe repair is confirmed with."""
    return found.target_id if found.severity is Severity.SEVERE else str(found.total_changes)


def _button(found: RepairPreview) -> str:
    """Verb and count: Rescue 3 jobs."""
    jobs = sum(change.source == "job" for change in found.changes)
    if found.action is Action.EXECUTOR_RESCUE_ALL:
        return f"Rescue {counted(jobs, 'job')}"
    return f"{act_verb(found.action)} {found.target_type.replace('_', ' ')} {found.target_id}"


def _unconfirmed(found: RepairPreview, typed: Decision) -> dict[str, str]:
    risk = risk_of(found.severity, found.total_changes)
    if risk is Severity.SEVERE and typed.confirm != _name(found):
        return {"confirm": f"Type {_name(found)} to confirm it."}
    if risk is Severity.HIGH and not typed.read:
        return {"read": "Tick it, when you have read them."}
    return {}


def _then(found: RepairPreview, source: str, row_id: str) -> Change | None:
    return next((change for change in found.changes if (change.source, change.id) == (source, row_id)), None)


def _nots(found: RepairPreview) -> Iterator[str]:
    row = found.action.row
    yield "No other row is written: it does exactly this, once, and only while nothing here has changed."
    if row.takes_away:
        yield (
            "No process is stopped or started. Should the executor come back, what it still reports counts as late and "
            "changes nothing."
        )
    if row.tells:
        yield "No executing job is stopped by force: it is asked to stop, and may still complete."
    if not found.effect.workflows_ended and found.target_type in (TargetType.STEP, TargetType.WORKFLOW, TargetType.JOB):
        yield "No workflow ends by it."
    if not found.effect.jobs_created and row.runs_again:
        yield "No new job is made: the one that is there runs again."


SAYINGS: Final[Mapping[str, str]] = {
    "preview-over": "It was not executed: it is no longer true. Nothing was changed.",
    "preview-approved": "You have approved it: its own actor can execute it now.",
}

ROUTES: Final = (
    get("/previews/{id}", preview),
    get("/previews/{id}/manifest.json", manifest),
    post("/previews/{id}/execute", execute, rate=Rate.EXECUTE),
    post("/previews/{id}/approve", approve, rate=Rate.EXECUTE),
)
