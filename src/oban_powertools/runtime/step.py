"""What a worker can read about the step, or the ended workflow, that its job runs for.

Reads the current Oban job; no I/O. The rule that must never break: the idempotency key of a step is equal over all its
attempts and differs between steps (property/P5).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, overload

from oban import Job, current_job

from ..arguments import as_span, unless_none
from ..database import record
from ..errors import NotInStepError
from ..states import WorkflowId, WorkflowState
from ..workflows.builder import Deps, EffectsName, PolicyName, Workflow, read_deps
from ..workflows.job_identity import identity_of, is_callback, is_step
from ..workflows.references import StepHandle
from ..workflows.typed_job import TypedJob

_APPENDED: Final = "powertools_appended"


@dataclass(frozen=True, slots=True)
class AwaitSignal:
    """Returned by a worker: the step waits for a signal, whose payload becomes its result.

    The job itself is done; nothing of the worker stays in memory. The step waits as an ``await_signal`` step
    does, and a signal that came earlier is consumed at once.
    """

    signal: str
    """The signal's name."""

    correlation_key: str
    """Which signal of that name."""

    deadline: timedelta | float | None = None
    """Time until the step expires, also in seconds; None waits for ever."""

    def __post_init__(self) -> None:
        # Checked in the worker's own line, so that its attempt fails with this reason.
        unless_none(as_span, "deadline", self.deadline)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The step whose job runs here."""

    workflow_id: WorkflowId
    """The workflow."""

    workflow_name: str
    """Its label."""

    context: dict[str, Any]
    """The context that the workflow's author attached; empty without one."""

    step: str
    """The step's name."""

    attempt: int
    """1 for the first."""

    generation: int
    """Rises with each recovery of the workflow."""

    idempotency_key: str
    """32 hex digits for other systems: equal over all attempts and generations of this step, unique to it."""

    job: Job
    """The job itself; ``job.cancelled()`` tells whether it was asked to stop."""

    @overload
    def append[Result](
        self,
        name: str,
        job: TypedJob[Result],
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> StepHandle[Result]: ...
    @overload
    def append(
        self,
        name: str,
        job: Job,
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> StepHandle[Any]: ...
    def append(
        self,
        name: str,
        job: Job,
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> StepHandle[Any]:
        """Add a step to this workflow, to be stored with this step's completion or not at all.

        Args:
            deps: This step, or steps that it appended before; without any, the new step depends on this one. All else
            as in ``Workflow.add``; a name that the workflow already has fails this step.

        Returns:
            A handle for deps and references of further appended steps.
        """
        appended = self.job.extra.get(_APPENDED)
        if appended is None:
            appended = self.job.extra[_APPENDED] = Workflow(self.workflow_name)
            appended.add(self.step, Job(self.job.worker))
        own = read_deps(deps) or (self.step,)
        return appended.add(name, job, deps=own, on_failure=on_failure, effects=effects, delay=delay)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedWorkflow:
    """The ended workflow whose ``on_finished`` job runs here."""

    workflow_id: WorkflowId
    """The workflow."""

    workflow_name: str
    """Its label."""

    outcome: WorkflowState
    """completed, failed, cancelled or expired."""

    failed_steps: tuple[str, ...]
    """Names, at most 1,000: of those that failed by themselves first, then of those cancelled because of them."""

    failures_handled: bool | None
    """Whether continue edges covered every failure; None without failures."""

    generation: int
    """Which generation ended."""


def current_step() -> StepContext:
    """The step that runs here.

    Raises:
        NotInStepError: No step's job runs in this task or thread.
    """
    job = current_job()
    if job is None or not is_step(job):
        raise NotInStepError
    meta = identity_of(job)
    return StepContext(
        workflow_id=WorkflowId(meta["workflow_id"]),
        workflow_name=meta["workflow_name"],
        context=meta.get("context", {}),
        step=meta["step"],
        attempt=job.attempt,
        generation=meta.get("generation", 1),
        idempotency_key=_idempotency_key(meta),
        job=job,
    )


def appended_of(job: Job) -> Workflow | None:
    """The steps a job's worker appended, behind the step itself; None when it appended none."""
    return job.extra.get(_APPENDED)


def _idempotency_key(meta: Mapping[str, Any]) -> str:
    # The uid distinguishes workflows with the same id in two databases.
    identity = f"{meta['uid']}/{meta['workflow_id']}/{meta['step']}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def current_workflow() -> FinishedWorkflow:
    """The ended workflow this ``on_finished`` job was inserted for.

    Raises:
        NotInStepError: No such job runs in this task or thread.
    """
    job = current_job()
    if job is None or not is_callback(job):
        raise NotInStepError
    return record(FinishedWorkflow, identity_of(job))
