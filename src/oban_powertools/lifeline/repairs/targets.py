"""The repair that is requested and its target: parse it, read its rows, and lock them in one order.

The rule that must never break: jobs are locked before workflows, both by id (repairs/P4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from ...acts import REPAIRS
from ...arguments import LONGEST, as_span, as_text, is_storable
from ...database import Row, Session
from ...database.contention import BeginAgainError
from ...errors import (
    CommandRefusedError,
    IncidentMismatchError,
    TargetNotFoundError,
    UnsupportedActionError,
    UnsupportedTargetError,
)
from ...operators.authorization import Action, Target, TargetType
from ...operators.authorization.targets import with_facts
from ...states import WorkflowId

_OF_AN_EXECUTOR: Final = ("dead_executor", "executor_missing", "executor_late")

_OWNERS: Final = ("executor_id", "process_executor_id")
"""Whose a job is: its executor's, and the first one's of that process, which names an incident of the whole process."""

_OF_SIGNALS: Final = "unclaimed_signal"

HOLDS: Final = (Action.STEP_HOLD, Action.WORKFLOW_HOLD)
"""Repairs that need ``hold_for``."""


class TargetMovedError(BeginAgainError):
    """Between reading and locking a target, other rows came to belong to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A requested repair: action, target, actor and reason."""

    target: Target
    """Its target, whose ``repair`` is the action."""

    arguments: Mapping[str, Any]
    """``{"payload": ...}`` of a completion, ``{"hold_for": seconds}`` of a hold, ``{"to": "41/bill"}`` of a redirected
    signal; else empty."""

    actor_id: str
    """The actor's id."""

    reason: str
    """Why."""

    incident_fingerprint: str | None = None
    """The incident that it is for."""

    @property
    def action(self) -> Action:
        """The repair's action."""
        assert self.target.repair is not None
        return self.target.repair

    @property
    def subject(self) -> dict[str, Any]:
        """The subject of its plan: without actor and reason, because equal plans are the same repair."""
        return {
            "action": str(self.action),
            "target": [str(self.target.type), self.target.id],
            "arguments": dict(self.arguments),
            "incident": self.incident_fingerprint,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A target with the rows that belong to it now."""

    target: Target
    """For the host's policy and the audit."""

    jobs: tuple[Row, ...] = ()
    """Its jobs, by id: locked first."""

    root_ids: tuple[int, ...] = ()
    """The outermost workflows of its families, ascending: locked next."""

    late: Row | None = None
    """A late result: locked last."""

    signal: Row | None = None
    """A signal, with the step and the wait that are to take it: locked last."""

    @property
    def job_ids(self) -> list[int]:
        """The ids of its jobs."""
        return [job["id"] for job in self.jobs]

    def locks_the_same(self, other: "Located") -> bool:
        """Whether the same rows are to be locked."""
        return (self.job_ids, self.root_ids) == (other.job_ids, other.root_ids)


def as_repair(action: str, target_type: str, target_id: str) -> tuple[Action, Target]:
    """The action and its target by their names.

    Raises:
        UnsupportedActionError, UnsupportedTargetError: There is no such repair, or not of that.
    """
    if action not in REPAIRS:
        raise UnsupportedActionError(action, REPAIRS)
    repair = Action(action)
    expected = repair.row.targets
    if target_type not in expected:
        raise UnsupportedTargetError(action, f"a {target_type}", " or ".join(expected))
    return repair, replace(_parsed(repair, TargetType(target_type), target_id), repair=repair)


def _parsed(action: Action, target_type: TargetType, target_id: str) -> Target:
    number, slash, step = target_id.partition("/")
    numbered = number.isascii() and number.isdigit() and len(number) < 19
    match target_type:
        case TargetType.EXECUTOR if target_id and is_storable(target_id):
            return Target(type=target_type, id=target_id)
        case TargetType.STEP if numbered and step and is_storable(step):
            return Target.of_workflow(WorkflowId(int(number)), step)
        case TargetType.WORKFLOW if numbered and not slash:
            return Target.of_workflow(WorkflowId(int(number)))
        case TargetType.JOB | TargetType.CALLBACK | TargetType.LATE_RESULT | TargetType.SIGNAL if (
            numbered and not slash
        ):
            return Target(type=target_type, id=str(int(number)))
        case _:
            form = "workflow id/step name" if target_type is TargetType.STEP else "its id"
            raise UnsupportedTargetError(action, f"{target_type} {target_id!r}", form)


def check_arguments(
    action: Action, payload: Any = None, hold_for: timedelta | float | None = None, to: str | None = None
) -> dict[str, Any]:
    """Check the arguments of a repair; returns them as a preview stores them.

    Raises:
        UnsupportedTargetError: An argument is missing, or is not one of this action.
    """
    if (hold_for is not None) != (action in HOLDS):
        given = ("anything without a duration", "hold_for (--for), a timedelta or seconds")
        raise UnsupportedTargetError(
            action, *(given if hold_for is None else ("anything for a while", "no hold_for (--for)"))
        )
    if payload is not None and action is not Action.STEP_COMPLETE:
        raise UnsupportedTargetError(action, "anything with a payload", "no payload")
    if (to is not None) != action.row.aimed:
        given = ("a signal alone", "also to (--to), the step that it is given to, such as 41/bill")
        raise UnsupportedTargetError(action, *(given if to is None else ("anything for another step", "no to (--to)")))
    if to is not None:
        return {"to": _parsed(action, TargetType.STEP, as_text("to", to)).id}
    if hold_for is not None:
        span = as_span("hold_for", hold_for, most=LONGEST)
        if span < timedelta(seconds=1):
            raise UnsupportedTargetError(action, f"anything for {span}", "1 s at least")
        return {"hold_for": int(span.total_seconds())}
    return {"payload": payload} if payload is not None else {}


async def find(session: Session, target: Target, to: str | None = None) -> Located:
    """Read a target with the rows that belong to it.

    Args:
        to: The step that a signal is to be given to.

    Raises:
        TargetNotFoundError: It does not exist.
    """
    match target.type:
        case TargetType.STEP | TargetType.WORKFLOW:
            return await _find_in_workflow(session, target)
        case TargetType.EXECUTOR:
            row = await session.one("executor_job_ids", {"executor_id": target.id})
            if row is None:
                raise TargetNotFoundError(target.type, target.id)
            jobs = await _find_jobs(session, row["ids"])
            return _with_jobs(replace(target, queue=row["queue"]), jobs)
        case TargetType.LATE_RESULT:
            late = await session.one("repair_late_result", {"id": int(target.id)})
            if late is None:
                raise TargetNotFoundError(target.type, target.id)
            jobs = await _find_jobs(session, [late["job_id"]])
            return replace(_with_jobs(_of_job(target, late, jobs[0] if jobs else {}), jobs), late=late)
        case TargetType.JOB | TargetType.CALLBACK:
            jobs = await _find_jobs(session, [int(target.id)])
            if not jobs or (target.type is TargetType.CALLBACK and not jobs[0]["is_callback"]):
                raise TargetNotFoundError(target.type, target.id)
            return _with_jobs(_of_job(target, jobs[0], jobs[0]), jobs)
        case TargetType.SIGNAL:
            return await _find_signal(session, target, to)
        case _:
            raise AssertionError(f"no repair is about {target}")


async def _find_signal(session: Session, target: Target, to: str | None) -> Located:
    step = None if to is None else _parsed(Action.SIGNAL_REDIRECT, TargetType.STEP, to)
    args = {"id": int(target.id), "workflow_id": step and step.workflow_id, "step": step and step.step}
    signal = await session.one("repair_signal", args)
    if signal is None:
        raise TargetNotFoundError(target.type, target.id)
    row = {**signal, "to": to}
    if step is None:
        # The sender may have named a workflow; the host's policy decides with what is known of that.
        named = replace(
            target,
            workflow_id=signal["workflow_id"],
            workflow_name=signal["workflow_name"],
            workflow_tags=tuple(signal["workflow_tags"]),
        )
        return Located(target=named, signal=row)
    located = await _find_in_workflow(session, step)
    return replace(
        located, target=replace(located.target, type=target.type, id=target.id, repair=target.repair), signal=row
    )


async def _find_jobs(session: Session, ids: Sequence[int]) -> Sequence[Row]:
    return await session.all("repair_jobs", {"ids": list(ids)})


async def _find_in_workflow(session: Session, target: Target) -> Located:
    args = {"workflow_id": target.workflow_id, "step": target.step}
    row = await session.one("repair_step", args)
    if row is None or (target.step is not None and row["state"] is None):
        raise TargetNotFoundError(target.type, target.id)
    full_target = with_facts(target, row)
    live = [row["job_id"]] if row["job_state"] is not None else ()
    jobs = await _find_jobs(session, live)
    return Located(target=full_target, jobs=tuple(jobs), root_ids=(row["root_id"],))


def _of_job(target: Target, job: Row, step: Row) -> Target:
    place = replace(target, workflow_id=step.get("workflow_id"), step=step.get("step"))
    return with_facts(place, {**step, "queue": job["queue"], "worker": job["worker"]})


def _with_jobs(target: Target, jobs: Sequence[Row]) -> Located:
    roots = sorted({job["root_id"] for job in jobs if job["root_id"] is not None})
    return Located(target=target, jobs=tuple(jobs), root_ids=tuple(roots))


async def find_locked(session: Session, repair: Repair) -> Located:
    """Read and lock the target of a repair: its jobs by id, its families by id, its late result.

    Raises:
        TargetNotFoundError: It does not exist.
        IncidentMismatchError: It does not belong to the incident.
        TargetMovedError: Roll back and begin again.
    """
    to: str | None = repair.arguments.get("to")
    first = await find(session, repair.target, to)
    await _lock(session, first)
    # The rows may have changed between the first read and the lock.
    located = await find(session, repair.target, to)
    if not located.locks_the_same(first):
        raise TargetMovedError
    if (refusal := _refuse_incident(located, repair.incident_fingerprint)) is not None:
        raise refusal
    return located


async def _lock(session: Session, located: Located) -> None:
    if located.jobs:
        await session.run("lock_repair_jobs", {"ids": located.job_ids})
    if located.root_ids:
        await session.run("lock_repair_families", {"workflow_ids": list(located.root_ids)})
    if located.late is not None:
        await session.run("lock_late_result", {"id": located.late["id"]})
    if located.signal is not None:
        await session.run("lock_signal", {"id": located.signal["id"]})


def _refuse_incident(located: Located, incident_fingerprint: str | None) -> CommandRefusedError | None:
    """Refuse what is not of the incident's executor, or of its signals; incidents of other classes pass."""
    kind = (incident_fingerprint or "").partition(":")[0]
    if located.signal is not None and kind == _OF_SIGNALS and located.signal["fingerprint"] != incident_fingerprint:
        name = located.signal["signal"]
        return IncidentMismatchError(str(located.target), incident_fingerprint or "", f"its signal is {name}")
    if located.target.type is TargetType.JOB:
        return refuse_executor(located.jobs, str(located.target), incident_fingerprint)
    if located.target.type is TargetType.EXECUTOR:
        return refuse_executor([dict.fromkeys(_OWNERS, located.target.id)], str(located.target), incident_fingerprint)
    return None


def refuse_executor(
    owned: Sequence[Row], subject: str, incident_fingerprint: str | None
) -> IncidentMismatchError | None:
    """Refuse for an incident of an executor what is not that executor's."""
    kind, _, executor_id = (incident_fingerprint or "").partition(":")
    others = [row["executor_id"] for row in owned if executor_id not in (row[key] for key in _OWNERS)]
    if kind not in _OF_AN_EXECUTOR or not others:
        return None
    return IncidentMismatchError(subject, incident_fingerprint or "", f"its executor is {others[0]}")
