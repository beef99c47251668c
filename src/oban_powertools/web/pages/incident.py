"""One incident: what was seen, what it means, what may be done about it and what not, what happened so far.

The core diagnoses it and decides what is legal; this page only lays it out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from starlette.responses import Response

from ...acts import Action, TargetType
from ...explain import ExplainedAction, ExplainedRepair
from ...lifeline import Incident, TimelineEntry
from ...operators.authorization import Target
from ...states import IncidentState
from ...times import find_instant
from ..page import ROWS, Page, get

_OWN: Final = (
    Action.INCIDENT_ACKNOWLEDGE,
    Action.INCIDENT_ASSIGN,
    Action.INCIDENT_NOTE,
    Action.INCIDENT_MUTE,
)
_BESIDE_BULK: Final = 2
_MOST_REPAIRS: Final = 8
_ALL: Final = "all"
_COMING: Final = 3
"""Of what happens by itself, the next ones."""

_ELSEWHERE: Final = ("stacks", "id_type", "ids", "code", "alike")
"""Evidence that has a place of its own on the page."""

_ENTRIES: Final[Mapping[str, tuple[str, str]]] = {
    "detected": ("needs-review", "Detected"),
    "reopened": ("needs-review", "It came back"),
    "changed": ("drifted", "It changed"),
    "resolved": ("completed", "It is over"),
    "acknowledged": ("acknowledged", "Acknowledged"),
    "assigned": ("person", "Assigned"),
    "noted": ("person", "A note"),
    "muted": ("held", "Muted"),
    "rescued": ("retryable", "A job was rescued"),
    "left": ("held", "A job was left to an operator"),
}
"""Kind of an entry of the timeline -> its glyph, and what it says."""

_SENTENCES: Final = ("because", "note", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An entry of the timeline as the page says it."""

    entry: TimelineEntry
    """The entry."""

    glyph: str
    """Its glyph."""

    title: str
    """What happened."""

    sentence: str
    """Why, or what else is known; empty for nothing."""

    audit_id: object | None
    """Its record in the audit."""


async def incident(page: Page) -> Response:
    """The page."""
    return await _show(page, page.param("id"))


async def by_fingerprint(page: Page) -> Response:
    """The same, by what never changes from one time it happens to the next."""
    return await _show(page, page.param("fingerprint"))


async def _show(page: Page, which: str) -> Response:
    found = await page.calls.lifeline.get_incident(which)
    target = _target(found)
    repairs = _repairs(found)
    is_over = found.state is IncidentState.RESOLVED
    coming = None if is_over else await page.part(page.calls.lifeline.list_upcoming(concerning=found, limit=_COMING))
    return page.render(
        "incident.html",
        title=found.title[:1].upper() + found.title[1:],
        crumbs=[("Incidents", page.url("/incidents")), (str(found.id), page.url(f"/incidents/{found.id}"))],
        topics=("incident:all",),
        incident=found,
        coming=coming,
        handling=[(act, await _refusal_of(page, act, target, found)) for act in _OWN],
        repairs=repairs if page.query("repairs") == _ALL else repairs[:_MOST_REPAIRS],
        more_repairs=len(repairs) - _MOST_REPAIRS if page.query("repairs") != _ALL else 0,
        bulks=found.bulk,
        refusals={act: await _repair_refusal(page, act) for act in _acts(found)},
        bulk_refusal=await page.refusal(Action.PREVIEW_BULK, Target(type=TargetType.BULK, id=str(found.id)))
        if found.bulk
        else None,
        refused=_refused(found),
        evidence=list(_evidence(found.evidence)),
        stacks=_stacks(found.evidence),
        affected=found.affected,
        timeline=[_told(entry) for entry in reversed(found.timeline)][: ROWS * 2],
        ending=next((_told(e) for e in reversed(found.timeline) if e.kind == "resolved"), None),
        last_repair=next((_told(e) for e in reversed(found.timeline) if "audit_id" in e.detail), None),
    )


async def _refusal_of(page: Page, act: Action, target: Target, found: Incident) -> str | None:
    over = found.state is IncidentState.RESOLVED and act in (Action.INCIDENT_ACKNOWLEDGE, Action.INCIDENT_MUTE)
    if over:
        return "It is over."
    if act is Action.INCIDENT_ACKNOWLEDGE and found.state is IncidentState.ACKNOWLEDGED:
        return f"{found.acknowledged_by} has."
    return await page.refusal(act, target)


async def _repair_refusal(page: Page, act: str) -> str | None:
    """Why the actor may not preview repairs of this kind at all; the preview asks again, with the whole target."""
    action = Action(act)
    if not action.row.previewed:
        return await page.refusal(action, Target(type=action.row.targets[0], id="*"))
    return await page.refusal(Action.PREVIEW_REPAIR, Target(type=action.row.targets[0], id="*", repair=action))


def _acts(found: Incident) -> Sequence[str]:
    return list(dict.fromkeys(repair.action for repair in found.repairs))


def _target(found: Incident) -> Target:
    evidence = _mapping(found.evidence)
    return Target(
        type=TargetType.INCIDENT, id=found.fingerprint, queue=evidence.get("queue"), worker=evidence.get("worker")
    )


def _repairs(found: Incident) -> list[ExplainedRepair]:
    """Of an act that there is for all of them at once, the first two."""
    at_once = {each.action for each in found.bulk}
    seen = Counter[str]()
    shown: list[ExplainedRepair] = []
    for repair in found.repairs:
        seen[repair.action] += 1
        if repair.action not in at_once or seen[repair.action] <= _BESIDE_BULK:
            shown.append(repair)
    return shown


def _refused(found: Incident) -> list[tuple[ExplainedAction, int]]:
    """What does not fit anything that is affected: one example of each, and of how many it is so."""
    legal = set(_acts(found))
    alike: dict[tuple[str, str | None], list[ExplainedAction]] = {}
    for affected in found.affected:
        for refused in affected.refused:
            if refused.name not in legal:
                alike.setdefault((refused.name, refused.refusal), []).append(refused)
    return [(each[0], len(each)) for each in alike.values()]


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is a mapping; the display policy may have left anything of it."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _evidence(evidence: Any) -> Iterator[tuple[str, Any]]:
    for name, value in _mapping(evidence).items():
        if name not in _ELSEWHERE and value not in (None, [], {}):
            yield name.replace("_", " "), _plain(value)


def _plain(value: Any) -> Any:
    """A fact as people read it: yes and no, instants as everywhere."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return find_instant(value) or value
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    if listed and all(isinstance(each, str | int) for each in listed):
        return ", ".join(map(str, listed))
    return cast("Any", value)


def _stacks(evidence: Any) -> list[tuple[str, str]]:
    """What each of its tasks was doing: a heading, and its lines."""
    entries = _mapping(evidence).get("stacks")
    found: list[tuple[str, str]] = []
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
        stack = _mapping(entry)
        lines = stack.get("stack", entry)
        text = "\n".join(map(str, cast("list[Any]", lines))) if isinstance(lines, list) else str(lines)
        job_id = stack.get("job_id")
        found.append((f"What job {job_id} is doing" if job_id else "What it is doing", text))
    return found


def _told(entry: TimelineEntry) -> Told:
    detail = _mapping(entry.detail)
    glyph, title = _ENTRIES.get(entry.kind, ("audit", _of_an_act(entry.kind, detail)))
    parts = [str(detail[name]) for name in _SENTENCES if detail.get(name)]
    if entry.kind in ("rescued", "left"):
        parts = [f"job {detail.get('job_id')}, attempt {detail.get('attempt')}: {detail.get('why')}"]
    if entry.kind == "assigned":
        parts = [str(detail.get("assignee") or "to nobody")]
    if entry.kind == "muted" and detail.get("until"):
        parts.insert(0, f"until {str(detail['until'])[:16].replace('T', ' ')} UTC")
    return Told(entry=entry, glyph=glyph, title=title, sentence="; ".join(parts), audit_id=detail.get("audit_id"))


def _of_an_act(kind: str, detail: Mapping[str, Any]) -> str:
    outcome = {"executed": "", "drifted": ": it had drifted", "expired": ": too late"}.get(
        str(detail.get("outcome")), f": {detail.get('outcome')}"
    )
    return f"{kind.replace('_', ' ').capitalize()}{outcome}, {detail.get('target', '')}".rstrip(", ")


ROUTES: Final = (
    get("/incidents/{id}", incident),
    get("/incidents/by-fingerprint/{fingerprint:path}", by_fingerprint),
)
