"""A workflow and its steps as table rows and facts for people, and as JSON for programs.

The rule that must never break: args and results appear only where the user asked for one step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ..plural import tallied
from ..states import OperatorStatus, StepKind, StepState, WorkflowState
from ..times import duration, instant, moment
from ..workflows.failures import summary
from ..workflows.reasons import names, step_reason, uncompleted_steps, workflow_reason
from ..workflows.records import CallbackRecord, StepRecord, WorkflowRecord
from .tables import Column, Table
from .text import state_beside


def is_hindered(workflow: WorkflowRecord) -> bool:
    """Whether it does not move by itself, or did not complete, so that the question is why."""
    if workflow.status is OperatorStatus.FINISHED:
        return workflow.state is not WorkflowState.COMPLETED
    return workflow.status not in (OperatorStatus.RUNNABLE, OperatorStatus.RUNNING)


def workflow_facts(workflow: WorkflowRecord, callbacks: Sequence[CallbackRecord] = ()) -> dict[str, str]:
    """A workflow as facts; those that do not apply are empty."""
    ended = f"{workflow.total - workflow.open} of {workflow.total} ended"
    handled = {None: "", True: " (handled)", False: " (not handled)"}[workflow.failures_handled]
    return {
        "workflow": f"{workflow.id} {workflow.name}",
        "status": workflow.status,
        "why": workflow_reason(workflow),
        "state": state_beside(workflow.status, workflow.state),
        "steps": ", ".join([ended, *tallied(uncompleted_steps(workflow))]),
        "not completed": names(workflow.failed_steps) + handled,
        "inserted": moment(workflow.inserted_at),
        "nested in": f"workflow {workflow.parent_id}" if workflow.parent_id else "",
        "cancel requested": moment(workflow.cancel_requested_at),
        "expires": moment(workflow.expires_at),
        "expired": moment(workflow.expired_at),
        "finished": moment(workflow.finished_at),
        "time": time_taken(workflow.inserted_at, workflow.finished_at),
        "on_finished": _callback_fact(callbacks[-1]) if callbacks else "",
        "tags": ", ".join(workflow.tags),
        "context": compact(workflow.context) if workflow.context else "",
        "idempotency key": workflow.idempotency_key or "",
        "definition": workflow.definition_version or "",
        "generation": str(workflow.generation) if workflow.generation > 1 else "",
    }


def _callback_fact(callback: CallbackRecord) -> str:
    attempts = f"attempt {callback.attempt}, " if callback.attempt else ""
    ended = f" at {instant(callback.ended_at)}" if callback.ended_at else ""
    failure = f": {summary(callback.error)}" if callback.error and callback.state != "completed" else ""
    return f"job {callback.job_id} {callback.state}{ended} ({attempts}{callback.worker}){failure}"


def steps_table(states: Mapping[str, StepState]) -> Table[StepRecord]:
    """The table of a workflow's steps, each with what it waits for or failed of.

    Args:
        states: Step name -> state, of all steps of the workflow.
    """
    return Table(
        (
            Column("STATUS", lambda step: step.status, whole=True),
            Column("STEP", lambda step: step.name),
            Column(
                "STATE", lambda step: state_beside(step.status, step.state), whole=True, else_=lambda step: step.state
            ),
            Column("ATTEMPT", lambda step: f"{step.attempt}/{step.max_attempts}" if step.job_id else "", whole=True),
            Column("QUEUE", lambda step: step.queue if step.kind is StepKind.JOB else step.kind),
            Column("JOB", lambda step: step.job_id, whole=True),
            Column(
                "TIME",
                lambda step: time_taken(step.started_at, step.finished_at) if step.finished_at else "",
                spare=True,
            ),
        ),
        sentence=lambda step: step_reason(step, states),
    )


def step_facts(step: StepRecord, states: Mapping[str, StepState]) -> dict[str, str]:
    """A step as facts, without its error, args and result; those that do not apply are empty."""
    deps = (f"{parent} ({states[parent]}, on failure {policy})" for parent, policy in step.deps.items())
    return {
        "step": step.name,
        "status": step.status,
        "state": state_beside(step.status, step.state),
        "why": step_reason(step, states),
        "kind": "" if step.kind is StepKind.JOB else step.kind,
        "worker": step.worker or "",
        "queue": step.queue or "",
        "job": str(step.job_id or ""),
        "attempt": f"{step.attempt} of {step.max_attempts}" if step.job_id is not None else "",
        "runs workflow": str(step.child_id or ""),
        "signal": step.signal or "",
        "correlation key": step.correlation_key or "",
        "deadline": moment(step.deadline_at),
        "held until": moment(step.held_until),
        "hold reason": step.hold_reason or "",
        "cancel requested": moment(step.cancel_requested_at),
        "effects": step.effects,
        "generation": str(step.generation) if step.generation > 1 else "",
        "depends on": ", ".join(deps),
        "released": moment(step.released_at),
        "due": moment(step.scheduled_at) if step.state in (StepState.SCHEDULED, StepState.RETRYABLE) else "",
        "started": moment(step.started_at),
        "finished": moment(step.finished_at),
        "time": time_taken(step.started_at, step.finished_at) if step.finished_at else "",
    }


def step_json(step: StepRecord, *, detail: bool) -> dict[str, Any]:
    """A step for JSON.

    Args:
        detail: With its args, its result and its error in full; else only a one-line summary of the error.
    """
    if detail:
        return step.to_dict()
    public = replace(step, error=summary(step.error) or None).to_dict()
    return {name: value for name, value in public.items() if name not in ("args", "result")}


def error_text(step: StepRecord) -> str:
    """The text of a step's last error, a traceback as a rule; empty when there was none."""
    match step.error:
        case None:
            return ""
        case {"error": str(message)}:
            return message
        case other:
            return compact(other)


def compact(value: Any) -> str:
    """A JSON value on one line."""
    return orjson.dumps(value).decode()


def time_taken(since: datetime | None, until: datetime | None) -> str:
    """The duration, until now by the process clock when it has not ended; never negative, even if that clock lags."""
    return duration(max((until or datetime.now(UTC)) - since, timedelta(0))) if since else ""
