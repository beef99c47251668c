"""Find the open incidents that concern a step, job or workflow, and the repairs that are legal for them.

Runs in the caller's transaction and locks nothing. The rule that must never break: a repair is suggested only when its
preview would accept it on the same rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from ..acts import Action, TargetType
from ..database import Session, record
from ..incident_classes import Choices, find_row
from ..states import Effects, StepState
from ..workflows.job_rules import LOST, refuse_job
from ..workflows.rules import WORKFLOW_RULES
from .actions import step_actions
from .explained_incidents import ExplainedIncident, ExplainedRepair
from .explanations import ExplainedAction
from .facts import RecoveryFacts, StepFacts, WorkflowFacts
from .job_facts import JobFacts

MAX_INCIDENTS: Final = 20
"""Most incidents that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an incident may concern."""

    step: StepFacts | None = None
    """A step."""

    job: JobFacts | None = None
    """A job; a step has its own."""

    workflow: WorkflowFacts | None = None
    """A workflow as a whole."""

    actions: Sequence[ExplainedAction] = ()
    """The acts that are legal now on the step."""

    refused: Sequence[ExplainedAction] = ()
    """The acts that are not, where they were asked for."""

    @classmethod
    def of_workflow(cls, workflow: WorkflowFacts) -> "Subject":
        """A workflow as a whole."""
        return cls(workflow=workflow)

    @classmethod
    def of_cause(cls, step: StepFacts) -> "Subject":
        """A step that waits on nothing upstream; legal acts of a failed one are not computed."""
        return cls(step=step, actions=() if step.ended else step_actions(step, (), RecoveryFacts())[0])

    @property
    def place(self) -> dict[str, int | None]:
        """Its key in the rows."""
        if self.step is not None:
            return {"workflow_ids": self.step.workflow.id, "positions": self.step.position, "job_ids": None}
        workflow_id, job_id = self.workflow and self.workflow.id, self.job and self.job.id
        return {"workflow_ids": workflow_id, "positions": None, "job_ids": job_id}


async def find_incidents(session: Session, subjects: Sequence[Subject]) -> tuple[ExplainedIncident, ...]:
    """The open incidents of these subjects, each with the first subject that it concerns, in the order of subjects."""
    places = [subject.place for subject in subjects]
    args = {column: [place[column] for place in places] for column in places[0]}
    rows = await session.all("explain_incidents", {**args, "page": MAX_INCIDENTS})
    return tuple(_incident(row, subjects) for row in rows)


def _incident(row: Mapping[str, Any], subjects: Sequence[Subject]) -> ExplainedIncident:
    number: int = row["subject"]
    subject = subjects[number - 1]
    step = subject.step
    workflow = step.workflow if step else subject.workflow
    return record(
        ExplainedIncident,
        row,
        workflow_id=workflow.id if workflow else None,
        step=step.name if step else None,
        repairs=legal_repairs(row, subject),
    )


def legal_repairs(row: Mapping[str, Any], subject: Subject) -> tuple[ExplainedRepair, ...]:
    """The repairs of an incident that are legal on a subject: none that a preview would refuse.

    Args:
        row: incident_class, fingerprint, subject_type and subject_id of the incident; late_result_id and adoptable of a
            late result; signal_id of a stored signal, which looks like the wait of the subject or is one itself; queue,
            resumable and scale_to of a queue.
    """
    for choices in _choices(row):
        if repairs := tuple(_legal(choices, row, subject)):
            return repairs
    return ()


def refused_repairs(row: Mapping[str, Any], subject: Subject) -> tuple[ExplainedAction, ...]:
    """The repairs that end such an incident and do not fit this subject as it is, each with its reason.

    Args:
        row: As of ``legal_repairs``.
    """
    return tuple(
        refused
        for action in dict.fromkeys(action for choices in _choices(row) for action in choices)
        if (refused := _refusal(action, subject)) is not None
    )


def _choices(row: Mapping[str, Any]) -> Choices:
    incident_class = find_row(row["incident_class"])
    if incident_class is None:
        return ()
    kind = row["fingerprint"].split(":", 2)[1]
    return incident_class.kinds_ended_by.get(kind, incident_class.ended_by)


def _refusal(action: Action, subject: Subject) -> ExplainedAction | None:
    target = action.row.targets[0]
    of_step = next((refused for refused in subject.refused if refused.name == action.value), None)
    if of_step is not None or target is TargetType.STEP:
        return of_step
    job = subject.job or (subject.step.job if subject.step and not subject.step.ended else None)
    if target not in (TargetType.JOB, TargetType.CALLBACK) or job is None:
        return None
    refusal = refuse_job(action, job.row)
    return refusal and ExplainedAction(name=action, refusal=refusal.code, reason=str(refusal))


def _legal(choices: Sequence[Action], row: Mapping[str, Any], subject: Subject) -> Iterator[ExplainedRepair]:
    for repair in choices:
        target = _target(repair, row, subject)
        if target is not None:
            to = _step_id(subject) if repair.row.aimed else None
            limit = row["scale_to"] if repair is Action.QUEUE_SCALE else None
            yield ExplainedRepair(action=repair, target_type=target[0], target_id=target[1], to=to, limit=limit)
        elif repair is choices[0]:
            return


def _target(repair: Action, row: Mapping[str, Any], subject: Subject) -> tuple[TargetType, str] | None:
    """The target of a repair; None when it is not legal now."""
    step = subject.step
    job = subject.job or (step.job if step else None)
    if step and step.ended:
        job = None  # the step decides about it
    target = repair.row.targets[0]
    match target:
        case TargetType.JOB | TargetType.CALLBACK:
            # The step decides about its job: some repairs of the job are done to the step.
            legal = repair in _names(subject.actions) if step else job and not refuse_job(repair, job.row)
            return (target, str(job.id)) if job and legal else None
        case TargetType.EXECUTOR:
            rescuable = job is not None and job.executor_state in LOST and job.effects != Effects.NEVER
            return (target, row["subject_id"]) if rescuable else None
        case TargetType.LATE_RESULT:
            adoptable = row["adoptable"] and _takes_a_result(subject)
            legal = row["late_result_id"] and (adoptable or repair is not Action.LATE_RESULT_ADOPT)
            return (target, str(row["late_result_id"])) if legal else None
        case TargetType.WORKFLOW:
            workflow = step.workflow if step else subject.workflow
            legal = workflow and row["subject_type"] == "workflow" and not WORKFLOW_RULES[repair](workflow.row)
            return (target, row["subject_id"]) if legal else None
        case TargetType.STEP:
            legal = step and repair in _names(subject.actions)
            return (target, _step_id(subject) or "") if step and legal else None
        case TargetType.QUEUE:
            helps = row["resumable"] if repair is Action.QUEUE_RESUME else row["scale_to"]
            return (target, row["queue"]) if helps else None
        case TargetType.SIGNAL:
            taken = repair.row.aimed and (step is None or step.own_state != StepState.AWAITING_SIGNAL)
            return (target, str(row["signal_id"])) if row["signal_id"] and not taken else None
        case (
            TargetType.INCIDENT
            | TargetType.BULK
            | TargetType.RECORDS
            | TargetType.AUDIT
            | TargetType.WEBHOOK
            | TargetType.SETTING
        ):
            return None  # no repair is about one
        case _:
            assert_never(target)


def _names(actions: Sequence[ExplainedAction]) -> frozenset[str]:
    return frozenset(action.name for action in actions)


def _step_id(subject: Subject) -> str | None:
    return f"{subject.step.workflow.id}/{subject.step.name}" if subject.step else None


def _takes_a_result(subject: Subject) -> bool:
    """Whether the step of a late result may be completed with it, or its job is no step's or a live one's."""
    if subject.step is not None and subject.step.ended:
        return Action.STEP_COMPLETE in _names(subject.actions)
    return subject.job is None or not subject.job.of_a_step or subject.job.step is not None
