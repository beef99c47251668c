"""Store and read previews: what was rehearsed and its warnings, kept for 15 minutes under a token.

Runs in the caller's transaction. The rule that must never break: only the hash of a token is stored, and a token is
valid once, for the actor who got it (security/S3). A warning that one target has is not lost where it is repaired
with others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from ...acts import REPAIRS, Act, TargetType, repairs_of
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
from ...plural import counted
from ...privacy.display import DisplayPolicy, Kind
from ...states import Effects
from ...workflows.job_rules import JOB_REPAIRS
from .actions import legal_job_actions, legal_signal_actions, rescuable
from .judging import Judged
from .plan import CLOCKS, VERSION, Change, Plan
from .records import MovedRow, RepairPreview
from .targets import Located, Repair
from .tokens import READY_FOR, Token

_MOST_WARNINGS: Final = 10
_MOST_NAMED: Final = 3


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
        raise PreviewNotFoundError(preview_id)
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


def warn(repair: Repair, located: Located, plan: Plan) -> list[str]:
    """Warnings before this is executed; at most 10."""
    action, executing = repair.action, _executing(located.jobs)
    warnings = list(_warn_of_jobs(action.row, executing))
    if _ends_under(executing, plan) and not action.row.tells and not action.row.takes_away:
        warnings.append(
            "the job is executing: its code goes on running, is not told, and what it comes to counts no more"
        )
    warnings += _warn_of_effects(action.row, located.jobs, plan.repeated)
    left_alone = len(located.jobs) - len(rescuable(located)) if action is Action.EXECUTOR_RESCUE_ALL else 0
    if left_alone:
        warnings.append(f"{counted(left_alone, 'job')} of the executor are left: their effects must never happen twice")
    if "settle_fault" in plan.written:
        warnings.append("the bookkeeping fails on the way: see the settle faults among the changes")
    warnings += _warn_of_signal(located.signal) if action.row.aimed and located.signal else []
    if action is Action.STEP_COMPLETE and "payload" not in repair.arguments and _moves_others(plan):
        warnings.append("without a payload its result is null, and the steps after it get that")
    if not plan.total and not executing:
        warnings.append("it changes nothing, as everything is now")
    return list(dict.fromkeys(warnings))[:_MOST_WARNINGS]


def warn_of_many(action: Action, judged: Sequence[Judged]) -> list[str]:
    """Warnings before a repair of these targets is executed; at most 10."""
    legal = [each for each in judged if each.refusal is None]
    jobs = [job for each in legal for job in each.jobs]
    warnings = [*_warn_of_jobs(action.row, _executing(jobs))]
    warnings += _warn_of_effects(action.row, jobs, sum(each.repeated for each in legal))
    refusals = [each.refusal for each in judged if each.refusal is not None]
    if refusals:
        named = "; ".join(refusals[:_MOST_NAMED])
        more = f"; and {len(refusals) - _MOST_NAMED} more" if len(refusals) > _MOST_NAMED else ""
        warnings.insert(0, f"{len(refusals)} of {counted(len(judged), 'target')} would be refused now: {named}{more}")
    return list(dict.fromkeys(warnings))[:_MOST_WARNINGS]


def _executing(jobs: Sequence[Row]) -> list[Row]:
    return [job for job in jobs if job["state"] == "executing"]


def _warn_of_jobs(act: Act, executing: Sequence[Row]) -> Iterator[str]:
    """What is not known of jobs that are executing."""
    if act.takes_away:
        yield from map(_unsure, executing)
    if executing and act.tells:
        are = "the job is" if len(executing) == 1 else f"{len(executing)} jobs are"
        it, is_ = ("it", "is") if len(executing) == 1 else ("they", "are")
        yield f"{are} executing: {it} {is_} told to stop, and may still complete"


def _warn_of_effects(act: Act, jobs: Sequence[Row], repeated: int) -> Iterator[str]:
    """That what runs again may have had its effects; a step that is retried by its job counts once."""
    unsure = max(sum(job["effects"] == Effects.ASK and job["attempt"] > 0 for job in jobs), repeated)
    if unsure and act.runs_again:
        yield f"{counted(unsure, 'step')} may have had effects that happen again: ask whoever knows the worker"


def _moves_others(plan: Plan) -> bool:
    return sum(change.source == "step" for change in plan.changes) > 1


def _ends_under(executing: Sequence[Row], plan: Plan) -> bool:
    """Whether a step gets its outcome while its job executes."""
    ids = {job["id"] for job in executing}
    steps = ((each.before, each.after) for each in plan.changes if each.source == "step" and each.before is not None)
    return any(
        was["job_id"] in ids and was["finished_at"] is None and will["finished_at"] is not None for was, will in steps
    )


def _warn_of_signal(signal: Row) -> list[str]:
    """How a signal differs from the wait that is to take it."""
    warnings = [
        f"the signal's {word} is {signal[name]}, the wait's {signal['to_' + name]}"
        for name, word in (("signal", "name"), ("correlation_key", "key"))
        if signal[name] != signal["to_" + name]
    ]
    if signal["workflow_id"] not in (None, signal["to_workflow_id"]):
        warnings.append(f"it was sent to workflow {signal['workflow_id']}")
    if signal["expired"]:
        warnings.append("its sender wanted nobody to take it any more by now")
    return warnings


def _unsure(job: Row) -> str:
    if job["executor_id"] is None:
        return "nobody knows the executor: the job may still run"
    if job["executor_state"] == "stopped":
        return f"executor {job['executor_id']} stopped in good order"
    if job["process_ended"]:
        return f"the process of executor {job['executor_id']} was seen to have ended"
    age = job["beat_seconds"]
    return f"the last heartbeat of executor {job['executor_id']} came {age} s ago: the job may still run"
