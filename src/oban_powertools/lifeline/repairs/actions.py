"""Every repair as one function, called by preview and execution alike.

Runs in the caller's transaction, with the target locked. The rule that must never break: nothing here knows whether it
runs for a preview.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from ...config import Settings
from ...database import Row, Session, json_border
from ...errors import CommandRefusedError, IllegalRepairError
from ...operators.authorization import Action, TargetType
from ...states import Effects, RecoveryAction, WorkflowId
from ...workflows import recovery
from ...workflows.job_rules import JOB_REPAIRS, find_way_through, refuse_alive, refuse_job
from ...workflows.rules import FAILED, RECOVERIES
from ...workflows.signal_rules import SIGNAL_REPAIRS, refuse_signal
from .targets import Located, Repair

_RECOVERIES: Final = {**RECOVERIES, Action.WORKFLOW_RETRY: RecoveryAction.RETRY}


class Applier:
    """Carries out repairs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def apply(self, session: Session, repair: Repair, located: Located) -> None:
        """Carry out the repair.

        Raises:
            CommandRefusedError, NotFoundError: It does not fit the target as it is; nothing is to be kept.

        Locks: the caller holds the target; then as settle.
        """
        if located.target.type in (TargetType.JOB, TargetType.CALLBACK):
            refusal = refuse_job(repair.action, located.jobs[0], str(located.target))
            if refusal is not None:
                raise refusal
        if located.signal is not None and (refusal := refuse_signal(repair.action, located.signal)) is not None:
            raise refusal
        await _DOES[repair.action](self, session, repair, located)

    async def recover(self, session: Session, repair: Repair, located: Located) -> None:
        """Recover a step or a workflow, as ``workflows.recover`` does."""
        recovery_action, payload = _RECOVERIES[repair.action], repair.arguments.get("payload")
        await self._recover(session, located.target.workflow_id, located.target.step, recovery_action, payload)

    async def hold(self, session: Session, repair: Repair, located: Located) -> None:
        """Hold a step or a workflow."""
        hold_for = timedelta(seconds=repair.arguments["hold_for"])
        await recovery.hold(session, _workflow_of(located), located.target.step, hold_for, repair.reason)

    async def release(self, session: Session, repair: Repair, located: Located) -> None:
        """End the hold of a step or a workflow."""
        if not await recovery.release(session, _workflow_of(located), located.target.step):
            raise IllegalRepairError(repair.action, str(located.target), "nothing of it is held")

    async def cancel_workflow(self, session: Session, _: Repair, located: Located) -> None:
        """Stop a workflow."""
        await recovery.request_cancel(session, _workflow_of(located), again=False)

    async def rescue_all(self, session: Session, repair: Repair, located: Located) -> None:
        """Take every job from a dead executor that may run again."""
        for job in located.jobs:
            if (refusal := refuse_alive(job)) is not None:
                raise refusal
        ids = rescuable(located)
        if not ids:
            raise IllegalRepairError(repair.action, str(located.target), "no job of it may run again")
        await session.run("rescue_jobs", {"ids": ids})

    async def rescue_job(self, session: Session, _: Repair, located: Located) -> None:
        """Take a job from its dead executor."""
        await session.run("rescue_jobs", {"ids": [located.jobs[0]["id"]]})

    async def discard_job(self, session: Session, _: Repair, located: Located) -> None:
        """Give a job up."""
        await session.run("discard_job", {"id": located.jobs[0]["id"]})

    async def cancel_job(self, session: Session, repair: Repair, located: Located) -> None:
        """Cancel a job; that of a step through its step."""
        await self._do_to_job(session, repair, located, "cancel_job")

    async def retry_job(self, session: Session, repair: Repair, located: Located) -> None:
        """Run a job again; the failed one of a step through its step."""
        await self._do_to_job(session, repair, located, "retry_job")

    async def _do_to_job(self, session: Session, repair: Repair, located: Located, query: str) -> None:
        job, target = located.jobs[0], located.target
        if through := find_way_through(repair.action, job["step_state"]):
            await self._recover(session, target.workflow_id, target.step, RECOVERIES[through])
        else:
            await session.run(query, {"id": job["id"]})

    async def dismiss(self, session: Session, repair: Repair, located: Located) -> None:
        """Put a late result aside."""
        await self._decide(session, repair, located, adopted=False)

    async def adopt(self, session: Session, repair: Repair, located: Located) -> None:
        """Make a late success the job's result."""
        late = await self._decide(session, repair, located, adopted=True)
        job = located.jobs[0] if located.jobs else None
        if (refusal := _unadoptable(late, job)) is not None:
            raise IllegalRepairError(repair.action, str(located.target), refusal)
        assert job is not None
        result: dict[str, Any] | None = late["result"]
        if job["step_state"] in FAILED:
            payload = result.get("json") if result else None
            await self._recover(session, job["workflow_id"], job["step"], "complete", payload)
            return
        stored = None if result is None else json_border.dumps(result)
        await session.run("adopt_result", {"id": job["id"], "result": stored})

    async def redirect(self, session: Session, _: Repair, located: Located) -> None:
        """Give a signal to the step that was meant."""
        assert located.signal is not None
        await session.run("redirect_signal", {"id": located.signal["id"], "wait_id": located.signal["to_wait_id"]})

    async def discard_signal(self, session: Session, _: Repair, located: Located) -> None:
        """Give a signal up."""
        assert located.signal is not None
        await session.run("discard_signal", {"id": located.signal["id"]})

    async def _decide(self, session: Session, repair: Repair, located: Located, *, adopted: bool) -> Row:
        late = located.late
        assert late is not None
        args = {"id": late["id"], "adopted": adopted, "actor": repair.actor_id}
        if await session.one("decide_late_result", args) is None:
            raise IllegalRepairError(repair.action, str(located.target), "it was adopted or dismissed before")
        return late

    async def _recover(
        self,
        session: Session,
        workflow_id: WorkflowId | None,
        step: str | None,
        recovery_action: str,
        payload: Any = None,
    ) -> None:
        assert workflow_id is not None
        limit = self._settings.payload_limit
        await recovery.recover(
            session, workflow_id, step, recovery_action, payload=payload, payload_limit=limit, again=False
        )


_DOES: Final[Mapping[Action, Callable[[Applier, Session, Repair, Located], Awaitable[None]]]] = {
    Action.JOB_RESCUE: Applier.rescue_job,
    Action.JOB_RETRY: Applier.retry_job,
    Action.JOB_CANCEL: Applier.cancel_job,
    Action.JOB_DISCARD: Applier.discard_job,
    Action.STEP_RETRY: Applier.recover,
    Action.STEP_CANCEL: Applier.recover,
    Action.STEP_COMPLETE: Applier.recover,
    Action.STEP_SKIP: Applier.recover,
    Action.STEP_HOLD: Applier.hold,
    Action.STEP_RELEASE: Applier.release,
    Action.LATE_RESULT_ADOPT: Applier.adopt,
    Action.LATE_RESULT_DISMISS: Applier.dismiss,
    Action.WORKFLOW_CANCEL: Applier.cancel_workflow,
    Action.WORKFLOW_RETRY: Applier.recover,
    Action.WORKFLOW_HOLD: Applier.hold,
    Action.WORKFLOW_RELEASE: Applier.release,
    Action.EXECUTOR_RESCUE_ALL: Applier.rescue_all,
    Action.CALLBACK_RETRY: Applier.retry_job,
    Action.SIGNAL_REDIRECT: Applier.redirect,
    Action.SIGNAL_DISCARD: Applier.discard_signal,
}
"""Repair -> the method that carries it out."""


def rescuable(located: Located) -> list[int]:
    """The jobs of an executor that may run again."""
    return [job["id"] for job in located.jobs if job["effects"] != Effects.NEVER]


def legal_job_actions(located: Located) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The repairs of a job or callback that are legal now, and why the others are not."""
    own = (Action.CALLBACK_RETRY,) if located.target.type is TargetType.CALLBACK else JOB_REPAIRS
    return _sorted({action: refuse_job(action, located.jobs[0]) for action in own})


def legal_signal_actions(located: Located) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The same, of a signal; whether a redirection is legal also depends on the step that is to take it."""
    assert located.signal is not None
    signal = located.signal
    return _sorted({action: refuse_signal(action, signal) for action in SIGNAL_REPAIRS})


def _sorted(refusals: Mapping[Action, CommandRefusedError | None]) -> tuple[tuple[str, ...], Mapping[str, str]]:
    legal = tuple(str(action) for action, refusal in refusals.items() if refusal is None)
    return legal, {str(action): str(refusal) for action, refusal in refusals.items() if refusal is not None}


def _workflow_of(located: Located) -> WorkflowId:
    assert located.target.workflow_id is not None, "a step or a workflow is known by its workflow"
    return located.target.workflow_id


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
