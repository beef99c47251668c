"""Previews of repairs: make one, read it again, execute it once.

The token of a preview is its idempotency key: whoever repeats an execution gets what the first one did.
"""

from collections.abc import Mapping
from typing import Any, Final

from ...acts import REPAIRS, Action, TargetType
from ...calls import Calls
from ...errors import (
    HeartbeatLateError,
    IllegalRepairError,
    IncidentMismatchError,
    OwnPreviewError,
    PowertoolsError,
    PreviewConsumedError,
    PreviewDriftedError,
    PreviewExpiredError,
    PreviewNotFoundError,
    PreviewOfAnotherActorError,
    RepairRequiresMissingExecutorError,
    TargetNotFoundError,
)
from ...lifeline import ListedPreview, PreviewCheck, PreviewStatus, RepairDone, RepairPreview
from ...operators.audit import AuditRecord
from ...privacy.redaction import redacted
from ..rates import Rate
from . import values
from .endpoint import BEFORE, LIMIT, Call, Endpoint, Reply, Shape, cut_page
from .values import ANY, ID, SECONDS, Parameter
from .workflows import REASON

PREVIEW: Final = Parameter(name="preview_id", value=ID, about="The preview.", required=True, example="7")
TOKEN: Final = Parameter(
    name="preview_token",
    value=values.text(most=200),
    about="The token that its maker got. It is the idempotency key.",
    required=True,
    example="5f0c...",
)
HOLD_FOR: Final = Parameter(
    name="hold_for_seconds", value=SECONDS, about="How long, of a hold; it ends by itself.", to="hold_for"
)

_FILTERS: Final = (
    Parameter(name="status", value=values.word(PreviewStatus), about="What has become of them."),
    Parameter(name="actor_id", value=values.text(), about="Only of this actor.", to="actor"),
    Parameter(name="action", value=values.word(REPAIRS), about="Only of this repair."),
    Parameter(name="target_type", value=values.word(TargetType), about="Only about this type of target."),
    Parameter(name="target_id", value=values.text(most=2000), about="Only about this one, with `target_type`."),
)

type _Errors = tuple[type[PowertoolsError], ...]
_PREVIEWED: Final[_Errors] = (
    TargetNotFoundError,
    IllegalRepairError,
    HeartbeatLateError,
    RepairRequiresMissingExecutorError,
    IncidentMismatchError,
)
_EXECUTED: Final[_Errors] = (
    PreviewNotFoundError,
    PreviewDriftedError,
    PreviewExpiredError,
    PreviewConsumedError,
    PreviewOfAnotherActorError,
)


async def create_preview(call: Call) -> Reply:
    """Preview a repair, by carrying it out and rolling it back; its token executes exactly that."""
    preview = await call.calls.lifeline.preview_repair(
        call.actor,
        **call.only("action", "target_type", "target_id", "incident_fingerprint", "payload", "hold_for", "to"),
        source="api",
    )
    return Reply(value=preview, status=201 if preview.is_new else 200, location=f"/previews/{preview.id}")


async def list_previews(call: Call) -> Any:
    """Previews, the newest first, those that can still be executed compared with the rows as they are now."""
    names, limit = [one.argument for one in _FILTERS], call["limit"]
    found = await call.calls.lifeline.list_previews(**call.only(*names, "before"), limit=limit + 1)
    return cut_page(found, limit, lambda preview: preview.id)


async def get_preview(call: Call) -> RepairPreview:
    """A preview again; its token only for the actor who made it, while it is ready."""
    return await call.calls.lifeline.get_preview(call["preview_id"], token_for=call.actor)


async def check_preview(call: Call) -> Any:
    """Whether the rows of a preview are still as it shows them, and whether you may execute it; locks nothing."""
    lifeline, preview_id = call.calls.lifeline, call["preview_id"]
    refusal = await lifeline.find_execution_refusal(preview_id, call.actor)
    checked = await lifeline.check_preview(preview_id)
    return {**checked.to_dict(), "refusal": refusal and {"code": refusal.code, "detail": redacted(str(refusal))}}


async def execute_preview(call: Call) -> Reply:
    """Execute a preview once; the same request again returns what it did, with ``replayed``."""
    lifeline, token = call.calls.lifeline, call["preview_token"]
    preview = await lifeline.find_preview_of(token)
    if preview is not None and preview.id != call["preview_id"]:
        raise PreviewNotFoundError
    replayed = False
    try:
        done = await lifeline.execute_repair(call.actor, token, call.values.get("reason", ""), source="api")
    except PreviewConsumedError:
        assert preview is not None
        done, replayed = await _find_done(call.calls, preview), True
    return Reply(value={**done.to_dict(), "replayed": replayed}, location=f"/audit/{done.audit_id}")


async def approve_preview(call: Call) -> Reply:
    """Approve a preview as the second person, where the policy wants one; its own actor may execute it then."""
    done = await call.calls.lifeline.approve_repair(
        call.actor, call["preview_id"], call.values.get("reason", ""), source="api"
    )
    return Reply(value=done, location=f"/audit/{done.id}")


async def _find_done(calls: Calls, preview: RepairPreview) -> RepairDone:
    """What the execution of a preview has done, from the preview and its record in the audit.

    Raises:
        PreviewConsumedError: The audit no longer holds it.
    """
    record = await calls.lifeline.find_execution(preview.id)
    if record is None:
        raise PreviewConsumedError(preview.id)
    return RepairDone(
        preview_id=preview.id,
        audit_id=record.id,
        target=f"{preview.target_type.replace('_', ' ')} {preview.target_id}",
        total_changes=preview.total_changes,
        effect=preview.effect,
    )


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/previews",
        handler=create_preview,
        tag="Repairs",
        answer=Shape(
            about="The preview, with its token: 201 for a new one, 200 for the ready one of the same plan and actor.",
            kind=RepairPreview,
            statuses=(200, 201),
        ),
        body=(
            Parameter(
                name="action", value=values.word(REPAIRS), about="Which repair.", required=True, example="step_retry"
            ),
            Parameter(
                name="target_type",
                value=values.word(TargetType),
                about="What it is about.",
                required=True,
                example="step",
            ),
            Parameter(
                name="target_id",
                value=values.text(most=2000),
                about="A number as text; `41/charge` for a step; the id of an executor.",
                required=True,
                example="41/charge",
            ),
            Parameter(name="incident_fingerprint", value=values.text(most=2000), about="The incident that it is for."),
            Parameter(name="payload", value=ANY, about="The result, of `step_complete`."),
            HOLD_FOR,
            Parameter(
                name="to",
                value=values.text(most=2000),
                about="The step that takes it, of `signal_redirect`: `41/charge`.",
            ),
        ),
        act=Action.PREVIEW_REPAIR,
        also=REPAIRS,
        rate=Rate.PREVIEW,
        repeat="Returns the ready preview of the same plan, with the same token.",
        errors=_PREVIEWED,
    ),
    Endpoint(
        method="GET",
        path="/previews",
        handler=list_previews,
        tag="Repairs",
        answer=Shape(about="A page of previews, without their tokens.", kind=ListedPreview, paged=True),
        query=(*_FILTERS, BEFORE, LIMIT),
    ),
    Endpoint(
        method="GET",
        path="/previews/{preview_id}",
        handler=get_preview,
        tag="Repairs",
        answer=Shape(about="The preview.", kind=RepairPreview, tagged=True),
        path_inputs=(PREVIEW,),
        errors=(PreviewNotFoundError,),
    ),
    Endpoint(
        method="GET",
        path="/previews/{preview_id}/check",
        handler=check_preview,
        tag="Repairs",
        answer=Shape(
            about="What has changed since. `refusal`: why you may not execute it, with `code` and `detail`; else null.",
            kind=PreviewCheck,
            extra={"refusal": Mapping[str, str] | None},
        ),
        path_inputs=(PREVIEW,),
        errors=(PreviewNotFoundError,),
    ),
    Endpoint(
        method="POST",
        path="/previews/{preview_id}/execute",
        handler=execute_preview,
        tag="Repairs",
        answer=Shape(about="What it did.", kind=RepairDone, extra={"replayed": bool}),
        path_inputs=(PREVIEW,),
        body=(TOKEN, REASON),
        act=Action.EXECUTE_REPAIR,
        also=REPAIRS,
        rate=Rate.EXECUTE,
        repeat="Changes nothing, and returns what the first one did, with `replayed: true`.",
        errors=_EXECUTED,
    ),
    Endpoint(
        method="POST",
        path="/previews/{preview_id}/approve",
        handler=approve_preview,
        tag="Repairs",
        answer=Shape(about="The record of the approval.", kind=AuditRecord),
        path_inputs=(PREVIEW,),
        body=(REASON,),
        act=Action.REPAIR_APPROVE,
        rate=Rate.EXECUTE,
        repeat="Approves it again, which changes nothing but adds a record.",
        errors=(
            PreviewNotFoundError,
            PreviewDriftedError,
            PreviewExpiredError,
            PreviewConsumedError,
            OwnPreviewError,
        ),
    ),
)
