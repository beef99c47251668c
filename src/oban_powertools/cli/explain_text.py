"""Print explanations: first the operator's word and the sentence, below them the facts.

``oban_powertools.explain`` computes them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from ..acts import Action, TargetType
from ..explain import (
    Blocker,
    BlockerCode,
    Dependency,
    ExplainedAction,
    ExplainedIncident,
    ExplainedRepair,
    JobExplanation,
    RootCause,
    RootCauseGroup,
    StepExplanation,
    WorkflowExplanation,
)
from ..explain.actions import CALLS_OF_PROGRAMS
from ..lifeline import SuggestedBulk
from ..states import StepKind
from ..times import ago
from .next_commands import command_line
from .output import print_facts, print_next, print_table, say
from .tables import Column, Table
from .text import state_beside, word_and_state

_BLOCKERS: Final = Table[Blocker](
    (
        Column("BLOCKER", lambda blocker: blocker.code, whole=True),
        Column("SCOPE", lambda blocker: blocker.scope, whole=True),
        Column("PASSES", lambda blocker: ago(blocker.retry_at), whole=True),
    ),
    sentence=lambda blocker: blocker.summary,
)
_CAUSES: Final = Table[RootCauseGroup](
    (
        Column("ROOT CAUSE", lambda group: group.code, whole=True),
        Column("STATUS", lambda group: group.status, whole=True),
        Column("STEPS", lambda group: group.count, whole=True),
    ),
    sentence=lambda group: group.summary,
)
_STEP_CAUSES: Final = Table[RootCause](
    (
        Column("ROOT CAUSE", lambda cause: cause.step),
        Column("STATUS", lambda cause: cause.status, whole=True),
        Column(
            "STATE", lambda cause: state_beside(cause.status, cause.state), whole=True, else_=lambda cause: cause.state
        ),
        Column("CODE", lambda cause: cause.code, whole=True),
    ),
    sentence=lambda cause: cause.summary,
)
_PARENTS: Final = Table[Dependency](
    (
        Column("DEPENDS ON", lambda parent: parent.name),
        Column("STATE", lambda parent: parent.state, whole=True),
        Column("ON FAILURE", lambda parent: parent.policy, whole=True),
        Column("RESULT", lambda parent: "yes" if parent.has_result else "", whole=True),
    )
)
_INCIDENTS: Final = Table[ExplainedIncident](
    (
        Column("INCIDENT", lambda incident: incident.id, whole=True),
        Column("STATUS", lambda incident: incident.status, whole=True),
        Column("CLASS", lambda incident: incident.incident_class),
        Column("SINCE", lambda incident: ago(incident.opened_at), whole=True),
        Column("STEP", lambda incident: incident.step),
    ),
    sentence=lambda incident: incident.title,
)
_AGAIN: Final = (Action.WORKFLOW_RETRY, Action.STEP_RETRY, Action.JOB_RETRY)
_OF_QUEUES: Final = (BlockerCode.QUEUE_HAS_NO_EXECUTOR, BlockerCode.QUEUE_PAUSED, BlockerCode.QUEUE_SATURATED)
"""Codes of root causes whose own explanation has the command that helps, and no repair."""


class _Summarised(Protocol):
    @property
    def summary(self) -> str: ...


_ACTIONS: Final = Table[ExplainedAction](
    (
        Column("ACTION", lambda action: action.name, whole=True),
        Column("LEGAL", lambda action: "no" if action.refusal else "yes", whole=True),
    ),
    sentence=lambda action: action.reason or "",
)


def print_workflow(explanation: WorkflowExplanation) -> None:
    """Print why a workflow is in its state."""
    print_facts(
        {
            "workflow": f"{explanation.workflow_id} {explanation.name}",
            "status": word_and_state(explanation.status, explanation.state),
            "why": explanation.summary,
            "steps": ", ".join(f"{count} {state}" for state, count in explanation.counts.items()),
        }
    )
    _print_part(_unsaid(_BLOCKERS, explanation.summary), explanation.blockers)
    _print_part(_unsaid(_CAUSES, explanation.summary), explanation.root_causes, explanation.more_root_causes)
    _print_incidents(explanation.incidents)
    _print_actions(explanation.legal_actions, explanation.illegal_actions)
    print_next(*_next_commands(explanation, explanation.workflow_id))


def print_step(explanation: StepExplanation) -> None:
    """Print why a step is in its state."""
    print_facts(
        {
            "step": f"{explanation.step} of workflow {explanation.workflow_id} {explanation.workflow_name}",
            "status": word_and_state(explanation.status, explanation.state),
            "why": explanation.summary,
            "kind": "" if explanation.kind == StepKind.JOB else explanation.kind,
            "worker": explanation.worker or "",
            "queue": explanation.queue or "",
            "job": str(explanation.job_id or ""),
            "attempt": f"{explanation.attempt} of {explanation.max_attempts}" if explanation.job_id is not None else "",
            "runs workflow": str(explanation.child_id or ""),
        }
    )
    _print_part(_unsaid(_BLOCKERS, explanation.summary), explanation.blockers)
    _print_part(_PARENTS, explanation.dependencies, explanation.more_dependencies)
    _print_part(_unsaid(_STEP_CAUSES, explanation.summary), explanation.root_causes, explanation.more_root_causes)
    _print_incidents(explanation.incidents)
    _print_actions(explanation.legal_actions, explanation.illegal_actions)
    print_next(*_next_commands(explanation, f"{explanation.workflow_id}/{explanation.step}"))


def print_job(explanation: JobExplanation) -> None:
    """Print why a job is in its state."""
    print_facts(
        {
            "job": str(explanation.job_id),
            "status": word_and_state(explanation.status, explanation.state),
            "why": explanation.summary,
            "worker": explanation.worker,
            "queue": explanation.queue,
            "attempt": f"{explanation.attempt} of {explanation.max_attempts}",
            "last error": explanation.error or "",
            "executor": explanation.executor or "",
            "step": f"{explanation.step} of workflow {explanation.workflow_id}" if explanation.workflow_id else "",
        }
    )
    _print_part(_unsaid(_BLOCKERS, explanation.summary), explanation.blockers)
    _print_incidents(explanation.incidents)
    _print_actions(explanation.legal_actions, explanation.illegal_actions)
    print_next(*_next_commands(explanation, explanation.job_id))


def _print_incidents(incidents: Sequence[ExplainedIncident]) -> None:
    _print_part(_INCIDENTS, incidents)


def repair_command(repair: ExplainedRepair, incident_id: int) -> str:
    """The command that previews a repair for an incident; what has no preview it does."""
    if repair.target_type == TargetType.QUEUE:
        verb = repair.action.removeprefix("queue_")
        limit = () if repair.limit is None else (repair.limit,)
        return command_line("queue", verb, repair.target_id, *limit, acts=True, reason=True)
    to = [] if repair.to is None else ["--to", repair.to]
    words = ("repair", "preview", repair.action, repair.target_id, *to, "--incident", incident_id)
    return command_line(*words, acts=True)


def bulk_command(bulk: SuggestedBulk, incident_id: int) -> str:
    """The command that previews a repair for all that an incident names."""
    return command_line("bulk", "preview", bulk.action, "--incident", incident_id, acts=True)


def _next_commands(explanation: WorkflowExplanation | StepExplanation | JobExplanation, target: object) -> list[str]:
    """What serves its queue; what repairs its incidents, else what tries again what failed; what shows the others."""
    commands = [*dict.fromkeys(_serve(explanation))]
    repairs = [(repair, incident.id) for incident in explanation.incidents for repair in incident.repairs]
    commands += [repair_command(repair, incident_id) for repair, incident_id in repairs]
    again = [action.name for action in explanation.legal_actions if action.name in _AGAIN]
    if again and not commands:
        if isinstance(explanation, JobExplanation) and again[0] == Action.STEP_RETRY:
            target = f"{explanation.workflow_id}/{explanation.step}"
        return [command_line("repair", "preview", again[0], target, acts=True)]
    if not repairs and Action.JOB_RESCUE in {action.name for action in explanation.legal_actions}:
        job_id = None if isinstance(explanation, WorkflowExplanation) else explanation.job_id
        commands.append(command_line("repair", "preview", Action.JOB_RESCUE, job_id, acts=True))
    unrepaired = [incident.id for incident in explanation.incidents if not incident.repairs]
    return commands + [command_line("incidents", "show", incident_id) for incident_id in unrepaired]


def _serve(explanation: WorkflowExplanation | StepExplanation | JobExplanation) -> Iterator[str]:
    """What lets a queue run that is unserved or paused, shows a full one, or signals; of a cause, what explains it."""
    for blocker in explanation.blockers:
        queue = blocker.details.get("queue")
        abandoned = blocker.code == BlockerCode.ORPHANED_BY_MISSING_EXECUTOR and blocker.details.get("executors") == 0
        if abandoned or blocker.code == BlockerCode.QUEUE_HAS_NO_EXECUTOR:
            yield command_line("start", "--queues", f"{queue}:10")
        elif blocker.code == BlockerCode.QUEUE_PAUSED:
            yield command_line("queue", "resume", queue, acts=True, reason=True)
        elif blocker.code == BlockerCode.QUEUE_SATURATED:
            yield command_line("queues", "show", queue)
        elif blocker.code == BlockerCode.WAITING_ON_SIGNAL and not explanation.incidents:
            yield command_line("signals", "list")
    for cause in _causes(explanation):
        orphaned = cause.code == BlockerCode.ORPHANED_BY_MISSING_EXECUTOR and not explanation.incidents
        if orphaned or cause.code in _OF_QUEUES:
            yield command_line("workflow", "explain", cause.workflow_id, cause.step)


def _causes(explanation: WorkflowExplanation | StepExplanation | JobExplanation) -> Iterator[RootCause]:
    """The first of each kind of its root causes; a job has none."""
    match explanation:
        case WorkflowExplanation():
            yield from (group.examples[0] for group in explanation.root_causes)
        case StepExplanation():
            yield from {cause.code: cause for cause in reversed(explanation.root_causes)}.values()
        case JobExplanation():
            return


def _unsaid[T: _Summarised](table: Table[T], why: str) -> Table[T]:
    """The table without the sentences that stand in the answer already."""

    def sentence(record: T) -> str:
        return "" if record.summary in why else record.summary

    return replace(table, sentence=sentence)


def _print_actions(legal: Sequence[ExplainedAction], illegal: Sequence[ExplainedAction]) -> None:
    _print_part(_ACTIONS, [action for action in (*legal, *illegal) if action.name not in CALLS_OF_PROGRAMS])


def _print_part[T](table: Table[T], records: Sequence[T], more: int = 0) -> None:
    if records:
        say()
        print_table(table, records)
    if more:
        say(f"and {more} more")
