"""Print explanations: first the operator's word and the sentence, below them the facts.

``oban_powertools.explain`` computes them.
"""

import shlex
from collections.abc import Sequence

from ..explain import (
    Blocker,
    ExplainedAction,
    ExplainedIncident,
    ExplainedRepair,
    JobExplanation,
    StepExplanation,
    WorkflowExplanation,
)
from ..lifeline import SuggestedBulk
from ..states import StepKind
from .output import print_facts, print_table, say
from .text import instant


def print_workflow(explanation: WorkflowExplanation) -> None:
    """Print why a workflow is in its state."""
    print_facts(
        {
            "workflow": f"{explanation.workflow_id} {explanation.name}",
            "status": f"{explanation.status} ({explanation.state})",
            "why": explanation.summary,
            "steps": ", ".join(f"{count} {state}" for state, count in explanation.counts.items()),
        }
    )
    _print_blockers(explanation.blockers)
    causes = [(cause.code, cause.status, str(cause.count), cause.summary) for cause in explanation.root_causes]
    _print_part(("ROOT CAUSE", "STATUS", "STEPS", "WHY"), causes, explanation.more_root_causes)
    _print_incidents(explanation.incidents)
    _print_actions(explanation.legal_actions, explanation.illegal_actions)


def print_step(explanation: StepExplanation) -> None:
    """Print why a step is in its state."""
    print_facts(
        {
            "step": f"{explanation.step} of workflow {explanation.workflow_id} {explanation.workflow_name}",
            "status": f"{explanation.status} ({explanation.state})",
            "why": explanation.summary,
            "kind": "" if explanation.kind == StepKind.JOB else explanation.kind,
            "worker": explanation.worker or "",
            "queue": explanation.queue or "",
            "job": str(explanation.job_id or ""),
            "attempt": f"{explanation.attempt} of {explanation.max_attempts}" if explanation.job_id is not None else "",
            "runs workflow": str(explanation.child_id or ""),
        }
    )
    _print_blockers(explanation.blockers)
    parents = [(dep.name, dep.state, dep.policy, "yes" if dep.has_result else "") for dep in explanation.dependencies]
    _print_part(("DEPENDS ON", "STATE", "ON FAILURE", "RESULT"), parents, explanation.more_dependencies)
    causes = [(cause.step, cause.status, cause.state, cause.code, cause.summary) for cause in explanation.root_causes]
    _print_part(("ROOT CAUSE", "STATUS", "STATE", "CODE", "WHY"), causes, explanation.more_root_causes)
    _print_incidents(explanation.incidents)
    _print_actions(explanation.legal_actions, explanation.illegal_actions)


def print_job(explanation: JobExplanation) -> None:
    """Print why a job is in its state."""
    print_facts(
        {
            "job": str(explanation.job_id),
            "status": f"{explanation.status} ({explanation.state})",
            "why": explanation.summary,
            "worker": explanation.worker,
            "queue": explanation.queue,
            "attempt": f"{explanation.attempt} of {explanation.max_attempts}",
            "last error": explanation.error or "",
            "executor": explanation.executor or "",
            "step": f"{explanation.step} of workflow {explanation.workflow_id}" if explanation.workflow_id else "",
        }
    )
    _print_blockers(explanation.blockers)
    _print_incidents(explanation.incidents)
    _print_actions(explanation.legal_actions, explanation.illegal_actions)


def _print_blockers(blockers: Sequence[Blocker]) -> None:
    rows = [(blocker.code, blocker.scope, instant(blocker.retry_at), blocker.summary) for blocker in blockers]
    _print_part(("BLOCKER", "SCOPE", "PASSES AT", "WHY"), rows)


def _print_incidents(incidents: Sequence[ExplainedIncident]) -> None:
    rows = [(str(i.id), i.incident_class, i.state, instant(i.opened_at), i.step or "", i.title) for i in incidents]
    _print_part(("INCIDENT", "CLASS", "STATE", "SINCE", "STEP", "WHAT"), rows)
    repairs = [(repair_command(repair, incident.fingerprint),) for incident in incidents for repair in incident.repairs]
    _print_part(("WHAT MAY BE DONE ABOUT IT",), repairs)


def repair_command(repair: ExplainedRepair, fingerprint: str) -> str:
    """The command that previews a repair for an incident."""
    return shlex.join(["powertools", "repair", "preview", repair.action, repair.target_id, "--incident", fingerprint])


def bulk_command(bulk: SuggestedBulk) -> str:
    """The command that previews a repair for several targets."""
    return shlex.join(["powertools", "bulk", "preview", bulk.action, *(f"--id={one}" for one in bulk.ids)])


def _print_actions(legal: Sequence[ExplainedAction], illegal: Sequence[ExplainedAction]) -> None:
    rows = [(action.name, "yes", "") for action in legal]
    rows += [(action.name, "no", action.reason or "") for action in illegal]
    _print_part(("ACTION", "LEGAL", "WHY NOT"), rows)


def _print_part(headers: Sequence[str], rows: Sequence[Sequence[str]], more: int = 0) -> None:
    if rows:
        say()
        print_table(headers, rows)
    if more:
        say(f"and {more} more")
