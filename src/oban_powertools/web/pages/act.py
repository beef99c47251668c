"""The form of an act, of whichever: what it does, what it asks for and why; then its preview, or the act itself.

One page for all of them, from the registry of acts. The rule that must never break: a form that is refused comes back
with the reason and with everything that was typed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...acts import Action, Severity, TargetType
from ...errors import PowertoolsError, ReasonRequiredError, ReasonTooShortError
from ...operators.authorization import Target
from ..act_forms import FIELDS, act_title, needs_form, target_path
from ..answers import Problem
from ..page import Page, get, post
from ..posted import PostedForm
from ..rates import Rate

type Do = Callable[[Page, str, Mapping[str, Any], str], Awaitable[str]]
"""Does an act to a target with what was typed, and the reason; returns where to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a form asks for, as it was typed."""

    action: Action
    """The act."""

    target_id: str
    """Of what."""

    incident: str = ""
    """The incident that it is for: its id or fingerprint."""

    values: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name of a field, ``reason`` or ``confirm`` -> what was typed."""

    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name of a field -> what is wrong with it."""


async def show(page: Page) -> Response:
    """The form."""
    names = [each.name for each in FIELDS.get(_action(page.param("act")), ())]
    asked = Asked(
        action=_action(page.param("act")),
        target_id=page.query("target") or "",
        incident=page.query("incident") or "",
        values={name: page.query(name) or "" for name in names},
    )
    if not asked.target_id:
        raise HTTPException(400, "The address names no target: add ?target=.")
    return await _render(page, asked)


async def preview(page: Page) -> Response:
    """Preview a repair, and go to the preview."""
    form = await page.form()
    asked = _read(form, _action(form.text("act")))
    if not asked.action.row.previewed:
        raise HTTPException(400, f"{asked.action} has no preview.")
    values, errors = _parse(asked)
    if errors:
        return await _render(page, _with(asked, errors), status=422)
    try:
        made = await page.calls.lifeline.preview_repair(
            page.actor,
            action=asked.action,
            target_type=asked.action.row.targets[0],
            target_id=asked.target_id,
            incident_fingerprint=await find_fingerprint(page, asked.incident),
            source="web",
            **values,
        )
    except PowertoolsError as error:
        return await _refused(page, asked, error)
    return page.redirect(f"/previews/{made.id}")


async def act(page: Page) -> Response:
    """Do an act that has no preview, and go on to what it was about."""
    form = await page.form()
    asked = _read(form, _action(page.param("act")))
    if asked.action not in DIRECT:
        raise HTTPException(400, f"{asked.action} is previewed first.")
    values, errors = _parse(asked)
    if error := _unconfirmed(asked, form):
        errors["confirm"] = error
    if errors:
        return await _render(page, _with(asked, errors), status=422)
    try:
        path = await DIRECT[asked.action](page, asked.target_id, values, asked.values["reason"])
    except (ReasonRequiredError, ReasonTooShortError) as error:
        return await _render(page, _with(asked, {"reason": _sentence(error)}), status=422)
    except PowertoolsError as error:
        return await _refused(page, asked, error)
    return page.redirect(path, said=asked.action)


async def _render(page: Page, asked: Asked, *, problem: Problem | None = None, status: int = 200) -> Response:
    action = asked.action
    kind = action.row.targets[0]
    target = Target(
        type=kind,
        id=asked.target_id,
        queue=asked.target_id if kind is TargetType.QUEUE else None,
        repair=action if action.row.previewed else None,
    )
    back = f"/incidents/{asked.incident}" if asked.incident.isdigit() else target_path(kind, asked.target_id)
    return page.render(
        "act.html",
        title=act_title(action, asked.target_id),
        status=status,
        crumbs=[(f"{kind.replace('_', ' ').capitalize()} {asked.target_id}", page.url(back))] if back else (),
        action=action,
        row=action.row,
        asked=asked,
        fields=FIELDS.get(action, ()),
        asks=needs_form(action),
        refusal=await page.refusal(Action.PREVIEW_REPAIR if action.row.previewed else action, target),
        problem=problem,
        back=page.url(back or "/"),
        confirmed_by_name=action.row.severity is Severity.SEVERE,
        confirmed_by_tick=action.row.severity is Severity.HIGH,
    )


async def _refused(page: Page, asked: Asked, error: PowertoolsError) -> Response:
    problem = await page.problem_of(error)
    return await _render(page, asked, problem=problem, status=problem.status)


def _action(name: str) -> Action:
    if name not in Action or not (Action(name).row.previewed or Action(name) in DIRECT):
        raise HTTPException(404)
    return Action(name)


def _read(form: PostedForm, action: Action) -> Asked:
    names = (*(each.name for each in FIELDS.get(action, ())), "reason", "confirm")
    return Asked(
        action=action,
        target_id=form.text("target"),
        incident=form.text("incident"),
        values={name: form.text(name) for name in names},
    )


def _parse(asked: Asked) -> tuple[dict[str, Any], dict[str, str]]:
    """What was typed as arguments of the call, and what is wrong with it."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for each in FIELDS.get(asked.action, ()):
        text = asked.values.get(each.name, "")
        if not text and each.required:
            errors[each.name] = "It is missing."
        elif text:
            try:
                values[each.name] = each.read(text)
            except ValueError as error:
                errors[each.name] = str(error)
    return values, errors


def _with(asked: Asked, errors: Mapping[str, str]) -> Asked:
    return Asked(
        action=asked.action, target_id=asked.target_id, incident=asked.incident, values=asked.values, errors=errors
    )


def _unconfirmed(asked: Asked, form: PostedForm) -> str | None:
    severity = asked.action.row.severity
    if severity is Severity.SEVERE and form.text("confirm") != asked.target_id:
        return f"Type {asked.target_id} to confirm it."
    if severity is Severity.HIGH and not form.ticked("confirm"):
        return "Tick it, to say that you know."
    return None


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


async def find_fingerprint(page: Page, incident: str) -> str | None:
    """The fingerprint of an incident that a form names by its id or by that; None where it names none."""
    if not incident.isdigit():
        return incident or None
    return (await page.calls.lifeline.get_incident(incident)).fingerprint


# ---- the acts that have no preview


async def _acknowledge(page: Page, target_id: str, _: Mapping[str, Any], __: str) -> str:
    incident = await page.calls.lifeline.acknowledge_incident(target_id, **page.by)
    return f"/incidents/{incident.id}"


async def _assign(page: Page, target_id: str, values: Mapping[str, Any], _: str) -> str:
    incident = await page.calls.lifeline.assign_incident(target_id, values.get("assignee"), **page.by)
    return f"/incidents/{incident.id}"


async def _note(page: Page, target_id: str, values: Mapping[str, Any], _: str) -> str:
    incident = await page.calls.lifeline.note_incident(target_id, values["note"], **page.by)
    return f"/incidents/{incident.id}"


async def _mute(page: Page, target_id: str, values: Mapping[str, Any], reason: str) -> str:
    until = datetime.now(UTC) + values["mute_for"]
    incident = await page.calls.lifeline.mute_incident(target_id, until=until, reason=reason, **page.by)
    return f"/incidents/{incident.id}"


async def _pause(page: Page, target_id: str, values: Mapping[str, Any], reason: str) -> str:
    await page.calls.queues.pause(target_id, reason=reason, **values, **page.by)
    return target_path(TargetType.QUEUE, target_id) or "/"


async def _resume(page: Page, target_id: str, values: Mapping[str, Any], reason: str) -> str:
    await page.calls.queues.resume(target_id, reason=reason, **values, **page.by)
    return target_path(TargetType.QUEUE, target_id) or "/"


async def _scale(page: Page, target_id: str, values: Mapping[str, Any], reason: str) -> str:
    await page.calls.queues.scale(target_id, reason=reason, **values, **page.by)
    return target_path(TargetType.QUEUE, target_id) or "/"


DIRECT: Final[Mapping[Action, Do]] = {
    Action.INCIDENT_ACKNOWLEDGE: _acknowledge,
    Action.INCIDENT_ASSIGN: _assign,
    Action.INCIDENT_NOTE: _note,
    Action.INCIDENT_MUTE: _mute,
    Action.QUEUE_PAUSE: _pause,
    Action.QUEUE_RESUME: _resume,
    Action.QUEUE_SCALE: _scale,
}
"""Act without a preview -> what does it."""

SAYINGS: Final[Mapping[str, str]] = {
    Action.INCIDENT_ACKNOWLEDGE: "You have acknowledged it.",
    Action.INCIDENT_ASSIGN: "It is assigned.",
    Action.INCIDENT_NOTE: "Your note is in its timeline.",
    Action.INCIDENT_MUTE: "It is muted: nobody gets a message about it until then.",
    Action.QUEUE_PAUSE: "Its executors were told to take no more jobs.",
    Action.QUEUE_RESUME: "Its executors were told to take jobs again.",
    Action.QUEUE_SCALE: "Its executors were told how many jobs to run at once.",
}

ROUTES: Final = (
    get("/acts/{act}", show),
    post("/acts/{act}", act),
    post("/previews", preview, rate=Rate.PREVIEW),
)
