"""Every repair as one function: what a preview takes back and an execution keeps.

Runs in the caller's transaction, with the target locked. The rule that must never break: nothing here knows whether it
is a preview.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ...arguments import LONGEST, as_span
from ...config import Settings
from ...database import Session, json_border
from ...errors import CommandRefusedError, IllegalRepairError, UnsupportedTargetError
from ...operators.authorization import Action, TargetType
from ...states import Effects, RecoveryAction, WorkflowId
from ...workflows import recovery
from ...workflows.job_rules import JOB_REPAIRS, refuse_alive, refuse_job
from ...workflows.rules import FAILED, RECOVERIES
from .targets import Found, Row

_RECOVERIES: Final = {**RECOVERIES, Action.WORKFLOW_RETRY: RecoveryAction.RETRY}
_HOLDS: Final = (Action.STEP_HOLD, Action.WORKFLOW_HOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What is to be done, by whom and why."""

    action: Action
    """Which repair."""

    arguments: Mapping[str, Any]
    """``{"payload": ...}`` of a completion, ``{"hold_for": seconds}`` of a hold; else empty."""

    actor_id: str
    """Who does it."""

    reason: str
    """Why."""


class Applier:
    """Does repairs on one kind of database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def apply(self, session: Session, repair: Repair, found: Found) -> None:
        """Do the repair.

        Raises:
            CommandRefusedError, NotFoundError: It does not fit the target as it is; nothing is to be kept.

        Locks: the caller holds the target; then as settle.
        """
        match found.target.type:
            case TargetType.STEP | TargetType.WORKFLOW:
                await self._in_workflow(session, repair, found)
            case TargetType.EXECUTOR:
                await self._rescue_all(session, found)
            case TargetType.LATE_RESULT:
                await self._decide(session, repair, found)
            case _:
                await self._job(session, repair, found)

    async def _in_workflow(self, session: Session, repair: Repair, found: Found) -> None:
        workflow_id, step = found.target.workflow_id, found.target.step
        assert workflow_id is not None
        if repair.action in _RECOVERIES:
            how, payload = _RECOVERIES[repair.action], repair.arguments.get("payload")
            await self._recover(session, workflow_id, step, how, payload)
        elif repair.action in _HOLDS:
            hold_for = timedelta(seconds=repair.arguments["hold_for"])
            await recovery.hold(session, workflow_id, step, hold_for, repair.reason)
        elif repair.action is Action.WORKFLOW_CANCEL:
            await recovery.request_cancel(session, workflow_id)
        elif not await recovery.release(session, workflow_id, step):
            raise IllegalRepairError(repair.action, str(found.target), "nothing of it is held")

    async def _recover(
        self, session: Session, workflow_id: WorkflowId, step: str | None, how: str, payload: Any = None
    ) -> None:
        await recovery.recover(
            session, workflow_id, step, how, payload=payload, payload_limit=self._settings.payload_limit,
        )  # fmt: skip

    async def _rescue_all(self, session: Session, found: Found) -> None:
        for job in found.jobs:
            if (refusal := refuse_alive(job)) is not None:
                raise refusal
        ids = rescuable(found)
        if not ids:
            raise IllegalRepairError(Action.EXECUTOR_RESCUE_ALL, str(found.target), "no job of it may run again")
        await session.run("rescue_jobs", {"ids": ids})

    async def _job(self, session: Session, repair: Repair, found: Found) -> None:
        job, action = found.jobs[0], repair.action
        if (refusal := refuse_job(action, job, str(found.target))) is not None:
            raise refusal
        workflow_id, step = found.target.workflow_id, found.target.step
        if action is Action.JOB_RESCUE:
            await session.run("rescue_jobs", {"ids": [job["id"]]})
        elif action is Action.JOB_DISCARD:
            await session.run("discard_job", {"id": job["id"]})
        elif action is Action.JOB_CANCEL and workflow_id is not None and step is not None:
            await self._recover(session, workflow_id, step, "cancel")
        elif action is Action.JOB_CANCEL:
            await session.run("cancel_job", {"id": job["id"]})
        elif workflow_id is not None and step is not None and job["step_state"] in FAILED:
            await self._recover(session, workflow_id, step, "retry")
        else:
            await session.run("retry_job", {"id": job["id"]})

    async def _decide(self, session: Session, repair: Repair, found: Found) -> None:
        late = found.late
        assert late is not None
        adopted = repair.action is Action.LATE_RESULT_ADOPT
        args = {"id": late["id"], "adopted": adopted, "actor": repair.actor_id}
        if await session.one("decide_late_result", args) is None:
            raise IllegalRepairError(repair.action, str(found.target), "it was adopted or dismissed before")
        if adopted:
            await self._adopt(session, repair, found, late)

    async def _adopt(self, session: Session, repair: Repair, found: Found, late: Row) -> None:
        job = found.jobs[0] if found.jobs else None
        if (why := _unadoptable(late, job)) is not None:
            raise IllegalRepairError(repair.action, str(found.target), why)
        assert job is not None
        result: dict[str, Any] | None = late["result"]
        if job["step_state"] in FAILED:
            payload = result.get("json") if result else None
            await self._recover(session, job["workflow_id"], job["step"], "complete", payload)
            return
        given = None if result is None else json_border.dumps(result)
        await session.run("adopt_result", {"id": job["id"], "result": given})


def rescuable(found: Found) -> list[int]:
    """The jobs of an executor that may run again."""
    return [job["id"] for job in found.jobs if job["effects"] != Effects.NEVER]


def check_arguments(action: Action, payload: Any, hold_for: timedelta | None) -> dict[str, Any]:
    """The arguments of a repair as a preview keeps them.

    Raises:
        UnsupportedTargetError: An argument is missing, or is not one of this action.
    """
    if (hold_for is not None) != (action in _HOLDS):
        expected = "hold_for, a timedelta" if hold_for is None else "no hold_for"
        raise UnsupportedTargetError(action, "anything with these arguments", expected)
    if payload is not None and action is not Action.STEP_COMPLETE:
        raise UnsupportedTargetError(action, "anything with these arguments", "no payload")
    if hold_for is not None:
        if as_span("hold_for", hold_for, most=LONGEST) < timedelta(seconds=1):
            raise UnsupportedTargetError(action, f"anything for {hold_for}", "1 s at least")
        return {"hold_for": int(hold_for.total_seconds())}
    return {"payload": payload} if payload is not None else {}


def legal_job_actions(found: Found) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The repairs of a job or callback that are legal now, and why the others are not."""
    own = (Action.CALLBACK_RETRY,) if found.target.type is TargetType.CALLBACK else JOB_REPAIRS
    refusals: dict[Action, CommandRefusedError | None] = {a: refuse_job(a, found.jobs[0]) for a in own}
    legal = tuple(str(action) for action, refusal in refusals.items() if refusal is None)
    return legal, {str(action): str(refusal) for action, refusal in refusals.items() if refusal is not None}


def _unadoptable(late: Row, job: Row | None) -> str | None:
    result: dict[str, Any] = late["result"] or {}
    if late["state"] != "completed" or "await" in result:
        return "it is no result: only what completed can be adopted"
    if job is None or (job["of_a_step"] and job["step"] is None):
        return "its job is gone, or its step goes on without it"
    if job["state"] == "executing":
        return "its job runs again now: cancel it first, or complete its step with this result (step_complete)"
    if job["step_state"] in FAILED and "append" not in result:
        return None
    return f"its job is {job['state']}" if job["state"] in ("completed", "cancelled", "discarded") else None
