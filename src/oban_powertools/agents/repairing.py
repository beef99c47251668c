"""The tools that preview and execute repairs, as the agent and recorded as its.

The rule that must never break: the policy decides in the call, here nothing is allowed; a person is asked beforehand
wherever the client can ask one, and a severe repair is not executed unasked.
"""

from typing import Any, Final

from ..acts import Action, Severity
from ..errors import ExecutionDisabledError, NotConfirmedError
from ..lifeline.incidents import incident_key
from ..lifeline.repairs import RepairPreview
from ..plural import counted
from .door import Request, ToolAnswer
from .inputs import span_of

_SOURCE: Final = "mcp"


async def preview_repair(request: Request) -> ToolAnswer:
    """What a repair would do, with the token that executes it."""
    preview = await request.door.calls.lifeline.preview_repair(
        request.door.agent,
        action=request["action"],
        target_type=request["target_type"],
        target_id=request["target_id"],
        incident_fingerprint=await _find_fingerprint(request),
        payload=request["payload"],
        hold_for=span_of("hold_for_seconds", request["hold_for_seconds"]),
        to=request["to"],
        source=_SOURCE,
    )
    return {"preview": preview, "executed_by": _executed_by(request)}


async def preview_bulk(request: Request) -> ToolAnswer:
    """The targets of a bulk repair. A person executes it: an agent has no tool for that."""
    bulk = await request.door.calls.lifeline.preview_bulk(
        request.door.agent,
        request["action"],
        request["filter"],
        incident_fingerprint=await _find_fingerprint(request),
        hold_for=span_of("hold_for_seconds", request["hold_for_seconds"]),
        source=_SOURCE,
    )
    shown = {name: value for name, value in bulk.to_dict().items() if name != "preview_token"}
    return {"bulk": shown, "executed_by": "a person, who previews it anew: powertools bulk preview, or the console"}


async def execute_repair(request: Request) -> ToolAnswer:
    """Execute exactly what was previewed, once.

    Raises:
        ExecutionDisabledError: It was not switched on.
        NotConfirmedError: The person said no, or a severe repair could not be put to one.
        CommandRefusedError: As ``lifeline.execute_repair``.
    """
    if not request.door.may_execute:
        raise ExecutionDisabledError
    lifeline = request.door.calls.lifeline
    preview = await lifeline.find_preview_of(request["token"])
    if preview is not None and preview.status == "ready":
        await _confirm(request, preview)
    done = await lifeline.execute_repair(request.door.agent, request["token"], request["reason"], source=_SOURCE)
    return {"repaired": done}


async def _confirm(request: Request, preview: RepairPreview) -> None:
    said = await request.confirm(question_of(preview, request["reason"]))
    if said is None and Action(preview.action).row.severity is Severity.SEVERE:
        raise NotConfirmedError(preview.action, "it is severe, and this client cannot ask a person")
    if said is False:
        raise NotConfirmedError(preview.action, "the person did not confirm it")


def question_of(preview: RepairPreview, reason: Any) -> str:
    """What the person is asked: the plan, its warnings, and the reason that the agent gives."""
    rows = counted(preview.total_changes, "row")
    target = f"{preview.target_type} {preview.target_id}"
    lines = [
        f"Execute {preview.action} on {target}? It changes {rows}; a mistake does {preview.severity} harm.",
        *(f"Warning: {warning}" for warning in preview.warnings),
        f"The agent's reason: {reason}",
    ]
    return "\n".join(lines)


def _executed_by(request: Request) -> str:
    if request.door.may_execute:
        return "execute_repair, with preview_token and a reason, if the policy lets this agent"
    return "a person, who previews it anew: powertools repair preview, or the console"


async def _find_fingerprint(request: Request) -> str | None:
    incident = request["incident"]
    if incident is None:
        return None
    key = incident_key(incident)
    return (await request.door.calls.lifeline.get_incident(key)).fingerprint if isinstance(key, int) else key
