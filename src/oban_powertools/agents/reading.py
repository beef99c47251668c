"""The tools that read: what each answers. They change nothing.

Lists are pages: ``next_before`` or ``next_after`` is what the next call passes on.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ..lifeline import Incident
from ..lifeline.incidents import incident_key
from ..operators.audit import AuditRecord
from ..workflows.failures import summary
from ..workflows.records import StepRecord
from .door import Request, ToolAnswer
from .inputs import instant_of, page_of

PAGE: Final = 50
"""Records of a page, unless the agent asks for another number."""

MOST: Final = 200
"""Records of a page at most: an agent reads all of it."""


async def list_incidents(request: Request) -> ToolAnswer:
    """Incidents, the last opened first."""
    page = page_of(request["limit"], PAGE, MOST)
    incidents = await request.door.calls.lifeline.list_incidents(
        state=request["state"], incident_class=request["incident_class"], before=request["before"], limit=page
    )
    return {"incidents": incidents, "next_before": _next(incidents, page)}


async def get_incident(request: Request) -> ToolAnswer:
    """One incident with its timeline."""
    return {"incident": await request.door.calls.lifeline.get_incident(incident_key(request["incident"]))}


async def explain_step(request: Request) -> ToolAnswer:
    """Why a step is as it is."""
    explain = request.door.calls.explain
    return {"explanation": await explain.workflow_step(request["workflow_id"], request["step"])}


async def explain_workflow(request: Request) -> ToolAnswer:
    """Why a workflow is as it is."""
    return {"explanation": await request.door.calls.explain.workflow(request["workflow_id"])}


async def explain_job(request: Request) -> ToolAnswer:
    """Why a job is as it is."""
    return {"explanation": await request.door.calls.explain.job(request["job_id"])}


async def get_workflow(request: Request) -> ToolAnswer:
    """A workflow and a page of its steps, without their args and results."""
    workflows, key = request.door.calls.workflows, request["workflow_id"]
    limit = page_of(request["limit"], PAGE, MOST)
    workflow = request.door.calls.as_displayed(await workflows.get(key))
    page = await workflows.list_steps(key, after=request["after"], limit=limit, payloads=False)
    steps = [_lean(step) for step in request.door.calls.as_displayed(page).steps]
    return {"workflow": workflow, "steps": steps, "next_after": page.next_after}


async def list_executors(request: Request) -> ToolAnswer:
    """Executors with their health, in pages."""
    page = page_of(request["limit"], PAGE, MOST)
    lifeline = request.door.calls.lifeline
    found = await lifeline.list_executor_health(status=request["status"], after=request["after"], limit=page + 1)
    following = found[page - 1].cursor if len(found) > page else None
    return {"executors": found[:page], "next_after": following}


async def list_queues(request: Request) -> ToolAnswer:
    """Every queue with its counts."""
    return {"queues": await request.door.calls.queues.list()}


async def search_audit(request: Request) -> ToolAnswer:
    """Records of the audit, the newest first."""
    page = page_of(request["limit"], PAGE, MOST)
    names = ("actor", "actor_type", "surface", "action", "target_type", "target_id", "outcome", "before")
    chosen: dict[str, Any] = {name: request[name] for name in names}
    chosen |= {name: instant_of(name, request[name]) for name in ("since", "until")}
    records = await request.door.calls.audit.list(**chosen, limit=page)
    return {"records": records, "next_before": _next(records, page)}


async def get_preview(request: Request) -> ToolAnswer:
    """A preview as it is now, without its token."""
    return {"preview": await request.door.calls.lifeline.get_preview(request["preview_id"])}


async def doctor(request: Request) -> ToolAnswer:
    """What is wrong with the database and its configuration."""
    report = await request.door.calls.examine()
    return {
        "sound": report.sound,
        "checks": report.checks,
        "findings": report.findings,
        "notes": report.notes,
        "broken": report.broken,
    }


def _next(records: Sequence[Incident] | Sequence[AuditRecord], page: int) -> int | None:
    return records[-1].id if len(records) == page else None


def _lean(step: StepRecord) -> dict[str, Any]:
    lean = replace(step, error=summary(step.error) or None).to_dict()
    return {name: value for name, value in lean.items() if name not in ("args", "result")}
