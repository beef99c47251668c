"""Diagnose one step or job from its facts: codes, sentences, and the operator's word.

Pure: no I/O, no clock of its own. The rule that must never break: an ended step is never called Runnable, and nothing
is claimed that the facts do not show.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ..states import OperatorStatus, StepState
from ..workflows.job_rules import SILENT
from .blocker_finding import BlockerFinding
from .explanations import Blocker, BlockerCode, Scope
from .facts import StepFacts
from .job_facts import FaultFacts, JobFacts, QuarantineFacts, QueueFacts
from .outcomes import ended_as, job_outcome, step_outcome
from .phrases import error_line, spell_span, with_error
from .waits import awaited, held_findings, lock_findings, running_child, stop_findings

STATUSES: Final[Mapping[str, OperatorStatus]] = {
    # Time or another step ends it.
    BlockerCode.WAITING_ON_DEPENDENCIES: OperatorStatus.WAITING,
    BlockerCode.WAITING_ON_RETRYABLE_DEPENDENCY: OperatorStatus.WAITING,
    BlockerCode.WAITING_ON_SIGNAL: OperatorStatus.WAITING,
    BlockerCode.WAITING_ON_WORKFLOW: OperatorStatus.WAITING,
    BlockerCode.WAITING_ON_ITEMS: OperatorStatus.WAITING,
    BlockerCode.HELD: OperatorStatus.WAITING,
    BlockerCode.CANCEL_REQUESTED: OperatorStatus.WAITING,
    BlockerCode.WORKFLOW_EXPIRED: OperatorStatus.WAITING,
    BlockerCode.SCHEDULED: OperatorStatus.WAITING,
    BlockerCode.RETRY_BACKOFF: OperatorStatus.WAITING,
    BlockerCode.QUEUE_SATURATED: OperatorStatus.WAITING,
    # Executors have to come back.
    BlockerCode.QUEUE_PAUSED: OperatorStatus.BLOCKED,
    BlockerCode.QUEUE_HAS_NO_EXECUTOR: OperatorStatus.BLOCKED,
    BlockerCode.ORPHANED_BY_MISSING_EXECUTOR: OperatorStatus.BLOCKED,
    # Another session has to end.
    BlockerCode.LOCKED: OperatorStatus.BLOCKED,
}
"""Code of a blocker -> the operator's word for a live step or job; any other code needs a review."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The findings about one step or job."""

    subject: str
    """The subject of its sentences."""

    state: str
    """The raw state."""

    status: OperatorStatus
    """The operator's word."""

    says: str
    """The sentence without its subject."""

    findings: tuple[BlockerFinding, ...]
    """What it waits for now comes first."""

    @property
    def code(self) -> str:
        """The first finding's; the raw state without any."""
        return self.findings[0].code if self.findings else self.state

    @property
    def summary(self) -> str:
        """The whole sentence."""
        return f"{self.subject} {self.says}"

    @property
    def retry_at(self) -> datetime | None:
        """When the first finding passes by itself."""
        return self.findings[0].retry_at if self.findings else None

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """All findings about the subject."""
        return tuple(finding.blocker(self.subject) for finding in self.findings)


def diagnose_job(
    job: JobFacts, queue: QueueFacts | None, earlier: Sequence[BlockerFinding] = (), *, step: StepFacts | None = None
) -> Diagnosis:
    """A job by itself, of a step or plain.

    Args:
        earlier: Findings made before; they come first.
        step: The step that names it.
    """
    findings = [*earlier, *_fault_findings(job.fault)]
    if job.ended:
        findings += job_outcome(job.state, job.attempt, job.max_attempts, job.error)
    else:
        holds = list(held_findings(step)) if step is not None else []
        findings += [*holds, *_live_findings(job, queue, held=bool(holds))]
        says = findings[0].says if findings else _says(job)
        findings += stop_findings(step.workflow, says, step) if step is not None else []
        findings += lock_findings(job.lock, Scope.JOB, job.now)
    return diagnosis(f"job {job.id}", job.state, findings, _says(job), finished=job.ended and job.fault is None)


def diagnose_step(step: StepFacts, queue: QueueFacts | None, earlier: Sequence[BlockerFinding] = ()) -> Diagnosis:
    """A step that waits on nothing upstream: released, held, or ended.

    Args:
        earlier: Findings made before; they come first.
    """
    says = _says(step.job) if step.job else ended_as(step)
    findings = [*earlier, *_step_findings(step, queue)]
    if not step.ended:
        findings += stop_findings(step.workflow, findings[0].says if findings else says, step)
        findings += lock_findings(step.workflow.lock, Scope.WORKFLOW, step.workflow.now)
        findings += lock_findings(step.job.lock, Scope.JOB, step.job.now) if step.job else []
    return diagnosis(step.name, step.state, findings, says, finished=step.ended)


def diagnosis(subject: str, state: str, findings: Sequence[BlockerFinding], says: str, *, finished: bool) -> Diagnosis:
    """Summarize findings; ``says`` is the sentence when there are none."""
    return Diagnosis(
        subject=subject,
        state=state,
        status=OperatorStatus.FINISHED if finished else _live_status(state, findings),
        says=findings[0].says if findings else says,
        findings=tuple(findings),
    )


def _live_status(state: str, findings: Sequence[BlockerFinding]) -> OperatorStatus:
    statuses = {STATUSES.get(finding.code, OperatorStatus.NEEDS_REVIEW) for finding in findings}
    for urgent in (OperatorStatus.NEEDS_REVIEW, OperatorStatus.BLOCKED):
        if urgent in statuses:
            return urgent
    if state == StepState.EXECUTING:
        return OperatorStatus.RUNNING
    return OperatorStatus.WAITING if statuses else OperatorStatus.RUNNABLE


def _step_findings(step: StepFacts, queue: QueueFacts | None) -> Iterator[BlockerFinding]:
    holds = list(held_findings(step))
    if step.ended:
        yield from step_outcome(step)
    elif step.fault is not None:
        yield from _fault_findings(step.fault)
    elif step.own_state == StepState.PENDING:
        yield from holds
    elif step.own_state == StepState.AWAITING_SIGNAL:
        yield awaited(step)
    elif step.own_state == StepState.EXECUTING and step.child is not None:
        yield running_child(step.child)
    elif step.own_state != StepState.AVAILABLE:
        yield _unknown(step.own_state)
    elif step.job is None:
        yield _unsettled(f"has lost its job {step.job_id}, which nobody settled yet: the sweep does")
    elif step.job.ended:
        yield _unsettled(f"has a job that ended as {step.job.state}, which nobody settled yet: the sweep does")
    else:
        yield from [*holds, *_live_findings(step.job, queue, held=bool(holds))]


def _fault_findings(fault: FaultFacts | None) -> Iterator[BlockerFinding]:
    if fault is not None:
        says = f"has ended as {fault.state}, but the workflow could not be moved: {fault.message}"
        yield _unsettled(says, fault.details)


def _unsettled(says: str, details: Mapping[str, Any] | None = None) -> BlockerFinding:
    return BlockerFinding(code=BlockerCode.BOOKKEEPING_FAULT, scope=Scope.STEP, says=says, details=details or {})


def _unknown(state: str) -> BlockerFinding:
    return BlockerFinding(code=state, scope=Scope.JOB, says=f"is {state}: no executor takes it while it is")


def _live_findings(job: JobFacts, queue: QueueFacts | None, *, held: bool) -> list[BlockerFinding]:
    """The findings of a job that has not ended; what it waits for now comes first."""
    if job.state == StepState.EXECUTING:
        return [_orphaned(job, queue)] if job.orphaned else []
    if job.quarantine is not None:
        return [_quarantined(job, job.quarantine)]
    imports = list(_import_findings(job))
    places = list(_queue_findings(job, queue)) if queue else []
    if job.state == StepState.AVAILABLE:
        return [*_exhausted(job), *imports, *places]
    if job.state not in (StepState.SCHEDULED, StepState.RETRYABLE):
        return [] if held and job.state == StepState.SUSPENDED else [_unknown(job.state)]
    due = job.scheduled_at <= job.now
    return [*imports, *places, _timed(job)] if due else [*imports, _timed(job), *places]


def _orphaned(job: JobFacts, queue: QueueFacts | None) -> BlockerFinding:
    ago = spell_span(job.now - job.executor_seen_at) if job.executor_seen_at else ""
    if job.node is None:
        evidence = "no executor is recorded"
    elif job.executor_id is None:
        evidence = f"nobody knows its executor on {job.node}"
    elif job.executor_state == "stopped":
        evidence = f"its executor {job.executor_id} stopped {ago} ago"
    else:
        evidence = f"its executor {job.executor_id} is {job.executor_state}: last seen {ago} ago"
    if job.executor_state == SILENT and job.missing_in is not None:
        evidence += f"; it counts as missing in {spell_span(timedelta(seconds=job.missing_in))}"
    return BlockerFinding(
        code=BlockerCode.ORPHANED_BY_MISSING_EXECUTOR,
        scope=Scope.JOB,
        says=f"is marked executing, but {evidence}{'; it is left to an operator' if job.left_to_operator else ''}",
        details={
            "executor_id": job.executor_id,
            "executor_state": job.executor_state,
            "node": job.node,
            "last_seen_at": job.executor_seen_at,
            "attempted_at": job.attempted_at,
            "left_to_operator": job.left_to_operator,
            "queue": job.queue,
            "executors": queue.executors if queue else None,
        },
    )


def _quarantined(job: JobFacts, quarantine: QuarantineFacts) -> BlockerFinding:
    ago = spell_span(job.now - quarantine.at)
    return BlockerFinding(
        code=BlockerCode.QUARANTINED,
        scope=Scope.JOB,
        says=f"is quarantined: {quarantine.crashes} executors died while they ran it, the last time {ago} ago",
        details={
            "crashes": quarantine.crashes,
            "quarantined_at": quarantine.at,
            "executor_id": quarantine.executor_id,
        },
    )


def _exhausted(job: JobFacts) -> Iterator[BlockerFinding]:
    if job.attempt >= job.max_attempts:
        yield BlockerFinding(
            code=BlockerCode.ATTEMPTS_EXHAUSTED,
            scope=Scope.JOB,
            says=f"is available with all {job.max_attempts} attempts used up: no executor takes it",
            details={"attempt": job.attempt, "max_attempts": job.max_attempts, "error": error_line(job.error)},
        )


def _import_findings(job: JobFacts) -> Iterator[BlockerFinding]:
    error = error_line(job.error) or ""
    if "WorkerResolutionError" in error:
        yield not_importable(job.worker, error, by_executor=True)


def not_importable(worker: str, error: str, *, by_executor: bool) -> BlockerFinding:
    """The worker cannot be imported.

    Args:
        by_executor: Whether an executor failed to import it; else this process did.
    """
    process = "an executor" if by_executor else "this process"
    return BlockerFinding(
        code=BlockerCode.WORKER_NOT_IMPORTABLE,
        scope=Scope.JOB,
        says=f"cannot run: {process} could not import its worker {worker}: {error}",
        details={"worker": worker, "error": error, "found_by": "executor" if by_executor else "this_process"},
    )


def _timed(job: JobFacts) -> BlockerFinding:
    wait = f"in {spell_span(job.scheduled_at - job.now)}" if job.scheduled_at > job.now else "now"
    if job.state == StepState.RETRYABLE:
        attempts = {"attempt": job.attempt, "max_attempts": job.max_attempts, "error": error_line(job.error)}
        says = with_error(f"is retrying (attempt {job.attempt} of {job.max_attempts}, next {wait})", job.error)
        code = BlockerCode.RETRY_BACKOFF
        return BlockerFinding(code=code, scope=Scope.JOB, says=says, retry_at=job.scheduled_at, details=attempts)
    says = f"is scheduled, due {wait}"
    return BlockerFinding(code=BlockerCode.SCHEDULED, scope=Scope.JOB, says=says, retry_at=job.scheduled_at)


def _queue_findings(job: JobFacts, queue: QueueFacts) -> Iterator[BlockerFinding]:
    details = {
        "queue": queue.queue,
        "executors": queue.executors,
        "paused": queue.paused,
        "limit": queue.places,
        "running": queue.running,
    }

    def finding(code: BlockerCode, says: str) -> BlockerFinding:
        return BlockerFinding(code=code, scope=Scope.QUEUE, says=says, details=details)

    if queue.executors == 0:
        yield finding(BlockerCode.QUEUE_HAS_NO_EXECUTOR, f"cannot start: no executor works on queue {queue.queue}")
    elif queue.paused == queue.executors:
        yield finding(BlockerCode.QUEUE_PAUSED, f"cannot start: queue {queue.queue} is paused{_by_whom(job, queue)}")
    elif job.state == StepState.AVAILABLE and queue.places is not None and queue.running >= queue.places:
        says = f"waits for a place in queue {queue.queue} ({queue.running} of {queue.places} running)"
        yield finding(BlockerCode.QUEUE_SATURATED, says)


def _by_whom(job: JobFacts, queue: QueueFacts) -> str:
    if queue.paused_by is None or queue.paused_at is None:
        return ""
    return f" by {queue.paused_by} since {spell_span(job.now - queue.paused_at)}: {queue.pause_reason or ''}"


def _describe_aside(job: JobFacts) -> str:
    if not job.aside or job.aside_since is None:
        return ""
    outcomes = "1 outcome" if job.aside == 1 else f"{job.aside} outcomes"
    ago = spell_span(job.now - job.aside_since)
    return f"; its executor {job.executor_id} holds {outcomes}, perhaps its own, that could not be stored for {ago}"


def _says(job: JobFacts) -> str:
    """The sentence of a job without findings."""
    if job.state == StepState.EXECUTING:
        since = f", for {spell_span(job.now - job.attempted_at)}" if job.attempted_at else ""
        late = f"; its executor {job.executor_id} is late" if job.executor_state == "late" else ""
        return f"is running (attempt {job.attempt} of {job.max_attempts}{since}){late}{_describe_aside(job)}"
    if job.state == StepState.AVAILABLE:
        return f"is ready to run in queue {job.queue}"
    return f"is {job.state}"
