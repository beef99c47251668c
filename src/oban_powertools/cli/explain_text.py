"""Explanations for people: the operator's word and the sentence first, the facts behind them below.

Not for computing any of it: ``oban_powertools.explain`` does.
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


def print_workflow(found: WorkflowExplanation) -> None:
    """Why a workflow is as it is."""
    print_facts(
        {
            "workflow": f"{found.workflow_id} {found.name}",
            "status": f"{found.status} ({found.state})",
            "why": found.summary,
            "steps": ", ".join(f"{count} {state}" for state, count in found.counts.items()),
        }
    )
    _print_blockers(found.blockers)
    causes = [(cause.code, cause.status, str(cause.count), cause.summary) for cause in found.root_causes]
    _print_part(("ROOT CAUSE", "STATUS", "STEPS", "WHY"), causes, found.more_root_causes)
    _print_incidents(found.incidents)
    _print_actions(found.legal_actions, found.illegal_actions)


def print_step(found: StepExplanation) -> None:
    """Why a step is as it is."""
    print_facts(
        {
            "step": f"{found.step} of workflow {found.workflow_id} {found.workflow_name}",
            "status": f"{found.status} ({found.state})",
            "why": found.summary,
            "kind": "" if found.kind == StepKind.JOB else found.kind,
            "worker": found.worker or "",
            "queue": found.queue or "",
            "job": str(found.job_id or ""),
            "attempt": f"{found.attempt} of {found.max_attempts}" if found.job_id is not None else "",
            "runs workflow": str(found.child_id or ""),
        }
    )
    _print_blockers(found.blockers)
    parents = [(dep.name, dep.state, dep.policy, "yes" if dep.has_result else "") for dep in found.dependencies]
    _print_part(("DEPENDS ON", "STATE", "ON FAILURE", "RESULT"), parents, found.more_dependencies)
    causes = [(cause.step, cause.status, cause.state, cause.code, cause.summary) for cause in found.root_causes]
    _print_part(("ROOT CAUSE", "STATUS", "STATE", "CODE", "WHY"), causes, found.more_root_causes)
    _print_incidents(found.incidents)
    _print_actions(found.legal_actions, found.illegal_actions)


def print_job(found: JobExplanation) -> None:
    """Why a job is as it is."""
    print_facts(
        {
            "job": str(found.job_id),
            "status": f"{found.status} ({found.state})",
            "why": found.summary,
            "worker": found.worker,
            "queue": found.queue,
            "attempt": f"{found.attempt} of {found.max_attempts}",
            "last error": found.error or "",
            "executor": found.executor or "",
            "step": f"{found.step} of workflow {found.workflow_id}" if found.workflow_id else "",
        }
    )
    _print_blockers(found.blockers)
    _print_incidents(found.incidents)
    _print_actions(found.legal_actions, found.illegal_actions)


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
