"""Store and read previews: what was rehearsed and its warnings, kept for 15 minutes under a token.

Runs in the caller's transaction. The rule that must never break: only the hash of a token is stored, and a token is
valid once, for the actor who got it (security/S3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from ...acts import REPAIRS, TargetType, repairs_of
from ...database import Row, Session, json_border, record
from ...errors import (
    CommandRefusedError,
    PreviewConsumedError,
    PreviewDriftedError,
    PreviewExpiredError,
    PreviewNotFoundError,
    PreviewOfAnotherActorError,
    UnsupportedActionError,
)
from ...explain import ExplainedAction
from ...explain.step import find_step_actions
from ...explain.workflow import find_workflow_actions
from ...operators.audit import AuditRecord
from ...operators.authorization import Action, Actor
from ...privacy.display import DisplayPolicy, Kind
from ...workflows.job_rules import JOB_REPAIRS
from .actions import legal_job_actions, legal_signal_actions
from .plan import CLOCKS, VERSION, Change, Plan
from .records import MovedRow, RepairPreview
from .targets import Located, Repair
from .tokens import READY_FOR, Token
from .warning import warn


async def insert_preview(
    session: Session, repair: Repair, located: Located, plan: Plan, warnings: Sequence[str]
) -> tuple[Row, str]:
    """Store a preview; returns its row and token. A ready preview of the same plan and actor is returned again.

    Args:
        warnings: In addition to those of the target and the plan.
    """
    legal, illegal = await _find_legal(session, located)
    warned = [*warn(repair, located, plan), *warnings]
    details = {"warnings": warned, "legal": list(legal), "illegal": dict(illegal)}
    key = {"actor_id": repair.actor_id, "plan_hash": plan.hash}
    await session.run("expire_previews", key)
    args = {
        **key,
        "action": repair.action,
        "target_type": repair.target.type,
        "target_id": repair.target.id,
        "incident_fingerprint": repair.incident_fingerprint,
        "arguments": json_border.dumps(repair.arguments),
        "plan": json_border.dumps({**_store_plan(plan), **details}),
        "written": json_border.dumps(plan.written),
        "ready_for": READY_FOR,
    }
    row = await session.one("store_preview", args)
    assert row is not None
    token = Token.of_preview(row["secret"], row["nonce"])
    await session.run("store_token", {"id": row["id"], "token_hash": token.hash})
    stored = await find_stored(session, preview_id=row["id"])
    # Legal repairs and warnings are current, also where the plan was stored before.
    return {**stored, "is_new": row["is_new"], "plan": {**stored["plan"], **details}}, token.text


async def find_stored(session: Session, *, token: str | None = None, preview_id: int | None = None) -> Row:
    """A stored preview.

    Raises:
        PreviewNotFoundError: There is none.
        UnsupportedActionError: Another release made it, for what this one cannot do.
    """
    args = {"token_hash": None if token is None else Token.of_caller(token).hash, "id": preview_id}
    row = await session.one("find_preview", args)
    if row is None:
        raise PreviewNotFoundError
    if row["action"] not in REPAIRS:
        raise UnsupportedActionError(row["action"], REPAIRS)
    return row


async def find_token(session: Session, preview_id: int) -> str | None:
    """The token of a stored preview; None of one that another database's secret made, as after a restore."""
    row = await session.one("find_token", {"id": preview_id})
    assert row is not None
    token = Token.of_preview(row["secret"], row["nonce"])
    return token.text if token.hash == bytes(row["token_hash"]) else None


async def find_approval(session: Session, preview_id: int) -> AuditRecord | None:
    """The record of its approval by a second person; None while there is none."""
    return await session.record(AuditRecord, "approval_of", {"id": preview_id})


def refuse_stored(row: Row, actor: Actor) -> CommandRefusedError | None:
    """Why a stored preview may not be executed by this actor."""
    if row["actor_id"] != actor.id:
        return PreviewOfAnotherActorError(row["id"])
    return refuse_status(row)


def refuse_status(row: Row) -> CommandRefusedError | None:
    """Why a stored preview may not be executed by anybody."""
    match row["status"]:
        case "ready":
            return None
        case "consumed":
            return PreviewConsumedError(row["id"])
        case "expired":
            return PreviewExpiredError(row["id"])
        case "drifted":
            return PreviewDriftedError(row["id"], ["it was found to be no longer true before"])
        case status:
            raise AssertionError(f"a preview is never {status}")


async def find_refusal(session: Session, stored: Row, actor: Actor) -> CommandRefusedError:
    """Why a stored preview could not be consumed."""
    now = await session.one("find_preview", {"id": stored["id"], "token_hash": None})
    return refuse_stored(now or stored, actor) or PreviewConsumedError(stored["id"])


def build_preview(display: DisplayPolicy, row: Row, token: str | None = None) -> RepairPreview:
    """Build the public record of a stored preview."""
    stored, action = row["plan"], Action(row["action"])
    return record(
        RepairPreview,
        {**stored, **row},
        preview_token=token,
        arguments={name: value for name, value in row["arguments"].items() if name != "payload"},
        severity=action.row.severity,
        changes=[_shown_change(display, record(Change, change)) for change in stored["changes"]],
        total_changes=stored["total"],
        created_at=row["inserted_at"],
    )


def _store_plan(plan: Plan) -> dict[str, Any]:
    return {
        "version": VERSION,
        "total": plan.total,
        "changes": [{"source": c.source, "id": c.id, "before": c.before, "after": c.after} for c in plan.changes],
        "effect": {
            "steps_released": plan.effect.steps_released,
            "jobs_created": plan.effect.jobs_created,
            "workflows_ended": list(plan.effect.workflows_ended),
            "workflows_reopened": list(plan.effect.workflows_reopened),
            "events": dict(plan.effect.events),
        },
    }


async def _find_legal(session: Session, located: Located) -> tuple[Sequence[str], Mapping[str, str]]:
    """The repairs of the same target that are legal now, and those that are not, each with its reason."""
    target = located.target
    if target.type is TargetType.JOB and target.workflow_id is not None and target.step is not None:
        return _named(JOB_REPAIRS, *await find_step_actions(session, target.workflow_id, target.step))
    if target.type in ("job", "callback"):
        return legal_job_actions(located)
    if target.type is TargetType.SIGNAL:
        return legal_signal_actions(located)
    if target.workflow_id is None or target.type not in ("step", "workflow"):
        return (), {}
    if target.step is not None:
        return _named(repairs_of(TargetType.STEP), *await find_step_actions(session, target.workflow_id, target.step))
    return _named(repairs_of(TargetType.WORKFLOW), *await find_workflow_actions(session, target.workflow_id))


def _shown_change(display: DisplayPolicy, change: Change) -> Change:
    before = None if change.before is None else _shown_row(display, change.before)
    # An unchanged value is rendered once: for 1,000 rows that saves half a second.
    differs = {name: value for name, value in change.after.items() if (change.before or {}).get(name) != value}
    same = {name: value for name, value in (before or {}).items() if name not in differs}
    return Change(source=change.source, id=change.id, before=before, after={**same, **_shown_row(display, differs)})


def show_moved(display: DisplayPolicy, moved: MovedRow) -> MovedRow:
    """A row that has changed, as the policy shows it."""
    then = _shown_row(display, {name: was for name, (was, _) in moved.fields.items()})
    now = _shown_row(display, {name: now for name, (_, now) in moved.fields.items()})
    return replace(moved, fields={name: (then[name], now[name]) for name in moved.fields})


def _shown_row(display: DisplayPolicy, row: Row) -> Row:
    # The policy does not see hashes and instants, which look like secrets, nor numbers, which hold none.
    plain = {name: value for name, value in row.items() if name in CLOCKS or not isinstance(value, str | list | dict)}
    plain |= {name: value for name, value in row.items() if isinstance(value, str) and value.startswith("sha256:")}
    rest = {name: value for name, value in row.items() if name not in plain}
    rendered = display.render(Kind.STATE, rest)
    return {**plain, **(cast("Row", rendered) if isinstance(rendered, dict) else dict.fromkeys(rest, rendered))}


def _named(
    own: Sequence[Action], legal: Sequence[ExplainedAction], illegal: Sequence[ExplainedAction]
) -> tuple[Sequence[str], Mapping[str, str]]:
    # Only repairs of the target itself: those of its job or step, and reports of the host's program, have other targets
    # and calls.
    return (
        [action.name for action in legal if action.name in own],
        {action.name: action.reason or "" for action in illegal if action.name in own},
    )
