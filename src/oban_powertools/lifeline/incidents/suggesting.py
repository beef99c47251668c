"""Suggest repairs for incidents, as legal on the current rows.

Runs in the caller's session and locks nothing. The rule that must never break: the rules that repairs obey
(``workflows.rules``, ``workflows.job_rules``) decide what is suggested, never an incident's class alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...database import Row, Session
from ...explain import ExplainedRepair
from ...explain.actions import step_actions
from ...explain.facts import RecoveryFacts, StepFacts
from ...explain.incidents import Subject, legal_repairs, refused_repairs
from ...explain.reading import read_jobs, read_recoveries, read_step_facts, read_workflow
from ...operators.authorization import Action, TargetType
from ...states import IncidentState
from .records import Affected, Incident, SuggestedBulk

OF_ONE: Final = 50
"""Targets that are judged for one incident: all that its evidence names."""

OF_A_LIST: Final = 5
"""The same, of each incident in a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The facts of all rows that some incidents name."""

    steps: Mapping[tuple[int, int], StepFacts]
    recoveries: Mapping[tuple[int, int], RecoveryFacts]
    subjects: Mapping[int, Subject]
    workflows: Mapping[int, Subject]

    def subject(self, row: Row) -> Subject | None:
        """The subject of a row; None when it is gone."""
        if row["position"] is None and (row["signal_id"] or row["queue"]):
            return Subject()
        if row["position"] is None:
            return self.workflows.get(row["workflow_id"]) or self.subjects.get(row["job_id"])
        place = (row["workflow_id"], row["position"])
        step = self.steps.get(place)
        if step is None:
            return None
        legal, refused = step_actions(step, (), self.recoveries.get(place, RecoveryFacts()))
        return Subject(step=step, actions=legal, refused=refused)


async def suggest(session: Session, incidents: Sequence[Incident], most: int) -> list[Incident]:
    """The same incidents with their legal repairs and what they name, as it is now.

    Args:
        most: Targets to judge of each.
    """
    ids = [incident.id for incident in incidents if incident.state is not IncidentState.RESOLVED]
    if not ids:
        return list(incidents)
    async with session.bounded():
        rows = await session.all("incident_subjects", {"ids": ids, "most": most})
        facts = await _read(session, rows)
    repairs: defaultdict[int, list[ExplainedRepair]] = defaultdict(list)
    affected: defaultdict[int, list[Affected]] = defaultdict(list)
    for row in rows:
        if (subject := facts.subject(row)) is not None:
            legal = legal_repairs(row, subject)
            repairs[row["id"]] += legal
            affected[row["id"]] += _affected(row, subject, legal) if most == OF_ONE else ()
    return [
        replace(
            incident,
            repairs=_in_order(repairs[incident.id]),
            bulk=_bulk(repairs[incident.id]),
            affected=tuple(affected[incident.id]),
        )
        for incident in incidents
    ]


def _affected(row: Row, subject: Subject, repairs: tuple[ExplainedRepair, ...]) -> Iterator[Affected]:
    """What a row names, as it is now; nothing for a queue, which the incident is about as a whole."""
    step, job = subject.step, subject.job or (subject.step.job if subject.step else None)
    workflow = step.workflow if step else subject.workflow
    target = _target_of(row, subject)
    if target is None:
        return
    thing = step or job
    yield Affected(
        target_type=target[0],
        target_id=target[1],
        state=None if row["late_result_id"] else (thing.state if thing else workflow and workflow.state),
        worker=thing.worker if thing else None,
        queue=thing.queue if thing else None,
        attempt=thing.attempt if thing else None,
        max_attempts=thing.max_attempts if thing else None,
        effects=step.effects if step else None,
        workflow_id=workflow.id if workflow else None,
        step=step.name if step else None,
        job_id=step.job_id if step else job and job.id,
        repairs=repairs,
        refused=refused_repairs(row, subject),
    )


def _target_of(row: Row, subject: Subject) -> tuple[TargetType, str] | None:
    if row["late_result_id"]:
        return TargetType.LATE_RESULT, str(row["late_result_id"])
    if subject.step is not None:
        return TargetType.STEP, f"{subject.step.workflow.id}/{subject.step.name}"
    if subject.job is not None:
        return TargetType.JOB, str(subject.job.id)
    if subject.workflow is not None:
        return TargetType.WORKFLOW, str(subject.workflow.id)
    return (TargetType.SIGNAL, str(row["signal_id"])) if row["signal_id"] else None


def _in_order(repairs: Iterable[ExplainedRepair]) -> tuple[ExplainedRepair, ...]:
    """Each repair once; actions with few targets come first, because they repair more at once."""
    by_action: defaultdict[Action | str, dict[tuple[str, str | None], ExplainedRepair]] = defaultdict(dict)
    for repair in repairs:
        by_action[repair.action].setdefault((repair.target_id, repair.to), repair)
    targets = {action: len({one.target_id for one in alike.values()}) for action, alike in by_action.items()}
    return tuple(one for action in sorted(by_action, key=targets.__getitem__) for one in by_action[action].values())


def _bulk(repairs: Iterable[ExplainedRepair]) -> tuple[SuggestedBulk, ...]:
    targets: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for repair in repairs:
        if Action(repair.action).row.in_bulk:
            targets[repair.action][repair.target_id] = None
    return tuple(SuggestedBulk(action=action, ids=tuple(ids)) for action, ids in targets.items() if len(ids) > 1)


async def _read(session: Session, rows: Sequence[Row]) -> _Facts:
    places = sorted({(row["workflow_id"], row["position"]) for row in rows if row["position"] is not None})
    steps: dict[tuple[int, int], StepFacts] = {}
    for step in await read_step_facts(session, places) if places else ():
        steps[step.workflow.id, step.position] = step
    alone = sorted({row["job_id"] for row in rows if row["position"] is None and row["job_id"] is not None})
    jobs = {int(job.id): Subject(job=job) for job in await read_jobs(session, alone)}
    workflow_ids = sorted({row["workflow_id"] for row in rows if row["subject_type"] == "workflow"})
    workflows = {one: Subject.of_workflow(await read_workflow(session, one)) for one in workflow_ids}
    return _Facts(
        steps=steps, recoveries=await read_recoveries(session, steps.values()), subjects=jobs, workflows=workflows
    )
