"""Whether a repair is legal on many targets now, and what it may do to them: for bulk repairs, and what follows them.

Runs in the caller's transaction and locks nothing; the number of statements does not depend on the number of targets.
The rule that must never break: the rules that a repair itself obeys decide, so that a target is called repairable only
if its preview would be accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ...acts import Action, TargetType
from ...database import Row, Session
from ...errors import CommandRefusedError, NotFoundError, TargetNotFoundError
from ...explain.actions import step_actions, workflow_actions
from ...explain.facts import RecoveryFacts, StepFacts
from ...explain.reading import read_recoveries, read_step_facts, read_workflows
from ...states import Effects
from ...workflows.job_rules import find_way_through, refuse_job
from ...workflows.rules import NOT_STARTED
from ...workflows.signal_rules import refuse_signal
from .targets import refuse_executor

_NOTHING: Final = RecoveryFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One target, and what a repair would do to it now."""

    target_id: str
    """The target."""

    refusal: str | None
    """Why the repair would be refused; None when it is legal, and changes something."""

    jobs: tuple[Row, ...] = ()
    """Its jobs, as ``repair_jobs`` reads them."""

    repeated: int = 0
    """Its steps that run again although an earlier run may have had effects."""


async def judge(
    session: Session, action: Action, target_ids: Sequence[str], incident_fingerprint: str | None = None
) -> list[Judged]:
    """Judge a repair of each of these targets, as they are now; in their order.

    Args:
        incident_fingerprint: The incident that it is for.
    """
    target_type = action.row.targets[0]
    match target_type:
        case TargetType.JOB | TargetType.CALLBACK:
            judged = await _judge_jobs(session, action, target_ids, incident_fingerprint)
        case TargetType.STEP:
            judged = await _judge_steps(session, action, target_ids)
        case TargetType.WORKFLOW:
            judged = await _judge_workflows(session, action, target_ids)
        case TargetType.SIGNAL:
            judged = await _judge_signals(session, action, target_ids)
        case _:
            raise AssertionError(f"no bulk repair is about {target_type}")
    return [judged.get(target_id) or _missing(target_type, target_id) for target_id in target_ids]


def _missing(target_type: TargetType, target_id: str) -> Judged:
    return Judged(target_id=target_id, refusal=_describe(TargetNotFoundError(target_type, target_id)))


def _describe(refusal: CommandRefusedError | NotFoundError | None) -> str | None:
    return None if refusal is None else str(refusal)


async def _judge_jobs(
    session: Session, action: Action, target_ids: Sequence[str], incident_fingerprint: str | None
) -> dict[str, Judged]:
    rows = await session.all("repair_jobs", {"ids": [int(target_id) for target_id in target_ids]})
    of_steps = {row["id"]: (row["workflow_id"], row["position"]) for row in rows if row["step"] is not None}
    through = {row["id"]: way for row in rows if (way := find_way_through(action, row["step_state"])) is not None}
    refusals = await _read_step_refusals(session, [of_steps[job_id] for job_id in through])
    judged: dict[str, Judged] = {}
    for row in rows:
        if action is Action.CALLBACK_RETRY and not row["is_callback"]:
            continue
        target_id, way = str(row["id"]), through.get(row["id"])
        refusal = _describe(refuse_job(action, row) or refuse_executor([row], f"job {target_id}", incident_fingerprint))
        if refusal is None and way is not None:
            refusal = refusals[of_steps[row["id"]]].get(way)
        judged[target_id] = Judged(target_id=target_id, refusal=refusal, jobs=(row,))
    return judged


async def _judge_steps(session: Session, action: Action, target_ids: Sequence[str]) -> dict[str, Judged]:
    named = [target_id.split("/", 1) for target_id in target_ids]
    names = {"workflow_ids": [int(workflow_id) for workflow_id, _ in named], "names": [name for _, name in named]}
    places = [(row["workflow_id"], row["position"]) for row in await session.all("step_places", names)]
    steps = await read_step_facts(session, places) if places else []
    recoveries = await read_recoveries(session, steps)
    jobs = {row["id"]: row for row in await _read_jobs(session, steps)}
    judged: dict[str, Judged] = {}
    for step in steps:
        target_id = f"{step.workflow.id}/{step.name}"
        refusals = _refusals(step, recoveries)
        job = jobs.get(step.job.id) if step.job is not None else None
        judged[target_id] = Judged(
            target_id=target_id,
            refusal=refusals.get(action, None if action in refusals else "it is not held"),
            jobs=() if job is None else (job,),
            repeated=int(step.ended and step.effects == Effects.ASK and step.attempt > 0),
        )
    return judged


async def _read_jobs(session: Session, steps: Sequence[StepFacts]) -> Sequence[Row]:
    ids = [step.job.id for step in steps if step.job is not None]
    return await session.all("repair_jobs", {"ids": ids}) if ids else []


async def _read_step_refusals(
    session: Session, places: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], Mapping[str, str | None]]:
    steps = await read_step_facts(session, places) if places else []
    recoveries = await read_recoveries(session, steps)
    return {(step.workflow.id, step.position): _refusals(step, recoveries) for step in steps}


def _refusals(step: StepFacts, recoveries: Mapping[tuple[int, int], RecoveryFacts]) -> dict[str, str | None]:
    """Act -> why it is illegal on a step; without acts that there is no occasion for, such as the end of a hold."""
    legal, illegal = step_actions(step, (), recoveries.get((step.workflow.id, step.position), _NOTHING))
    return {**{act.name: None for act in legal}, **{act.name: act.reason for act in illegal}}


async def _judge_workflows(session: Session, action: Action, target_ids: Sequence[str]) -> dict[str, Judged]:
    workflows = await read_workflows(session, [int(target_id) for target_id in target_ids])
    args = {"ids": list(workflows), "not_started": sorted(NOT_STARTED)}
    judged: dict[str, Judged] = {}
    for row in await session.all("workflows_judged", args):
        recovery = RecoveryFacts(revival_refused=row["revival_refused"], retryable=row["retryable"])
        legal, illegal = workflow_actions(workflows[row["id"]], row["held"], row["holdable"], recovery)
        reasons = {**{act.name: None for act in legal}, **{act.name: act.reason for act in illegal}}
        target_id = str(row["id"])
        judged[target_id] = Judged(
            target_id=target_id,
            refusal=reasons.get(action, None if action in reasons else "nothing of it is held"),
            repeated=row["repeated"],
        )
    return judged


async def _judge_signals(session: Session, action: Action, target_ids: Sequence[str]) -> dict[str, Judged]:
    rows = await session.all("signals_judged", {"ids": [int(target_id) for target_id in target_ids]})
    return {
        str(row["id"]): Judged(target_id=str(row["id"]), refusal=_describe(refuse_signal(action, {**row, "to": None})))
        for row in rows
    }
