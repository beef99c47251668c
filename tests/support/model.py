"""What a workflow means, in plain Python: the oracle of the property test.

Written from the contract's section 3 and on purpose not from settle: nothing is counted down,
everything is looked at again after each change until nothing moves. Slow, and easy to believe.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

ENDED = ("completed", "discarded", "cancelled")
"""Job states that are outcomes, by Oban's words."""

type Policy = Literal["cancel", "continue"]


@dataclass(frozen=True)
class Ref:
    """A reference in a step's args."""

    parent: int
    part: Literal["result", "error"] = "result"
    path: tuple[str | int, ...] = ()


@dataclass(eq=False)
class Job:
    """A row of ``oban_jobs``; ``result`` is None for none, else a list of one."""

    step: "Step"
    args: dict[str, Any]
    state: str = "available"
    attempt: int = 0
    max_attempts: int = 3
    errors: list[Any] = field(default_factory=list)
    result: list[Any] | None = None
    deleted: bool = False

    @property
    def live(self) -> bool:
        return not self.deleted and self.state not in ENDED


@dataclass(frozen=True)
class Outcome:
    """What settle is told about a job."""

    job: Job
    state: str
    attempt: int
    result: list[Any] | None
    error: Any
    cause: str | None = None


def outcome_of(job: Job, *, seen: bool) -> Outcome:
    """The outcome of an ended or deleted job; the sweep has not seen a deleted one."""
    error = job.errors[-1] if job.errors else None
    if job.deleted:
        return Outcome(job, "cancelled", job.attempt if seen else 0, None, error if seen else None, "job_deleted")
    completed = job.state == "completed"
    return Outcome(job, job.state, job.attempt, job.result if completed else None, None if completed else error)


@dataclass(eq=False)
class Step:
    """A row of ``steps``."""

    workflow: "Workflow"
    position: int
    parents: dict[int, Policy]
    args: dict[str, Any]
    priority: int = 0
    state: str = "pending"
    cause: str | None = None
    attempt: int = 0
    result: list[Any] | None = None
    error: Any = None
    job: Job | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def failed(self) -> bool:
        """Whether it did not complete: a cancel edge from here cancels, and its workflow fails."""
        return self.ended and self.state != "completed"

    @property
    def pending(self) -> int:
        return sum(not self.workflow.steps[parent].ended for parent in self.parents)

    def children(self, policy: Policy) -> "list[Step]":
        return [step for step in self.workflow.steps if step.parents.get(self.position) == policy]


@dataclass(eq=False)
class Workflow:
    """A row of ``workflows`` with its steps."""

    steps: list[Step] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return all(step.ended for step in self.steps)

    @property
    def failed(self) -> int:
        return sum(step.failed for step in self.steps)

    @property
    def state(self) -> str:
        if not self.ended:
            return "running"
        return "failed" if self.failed else "completed"

    @property
    def failures_handled(self) -> bool | None:
        if not self.ended or not self.failed:
            return None
        return all(_is_handled(step) for step in self.steps if _starts_a_failure(step))

    @property
    def failed_steps(self) -> list[str]:
        culprits = [step for step in self.steps if _starts_a_failure(step)]
        victims = [step for step in self.steps if step.failed and step not in culprits]
        return [f"s{step.position}" for step in culprits + victims]


def _starts_a_failure(step: Step) -> bool:
    """Whether something failed here, rather than above."""
    return step.failed and step.cause != "cancelled_by_dependency"


def _is_handled(step: Step) -> bool:
    """Whether the cascade from here reaches a continue edge whose step completed."""
    if any(child.state == "completed" for child in step.children("continue")):
        return True
    return any(_is_handled(child) for child in step.children("cancel") if child.failed)


@dataclass
class Engine:
    """All workflows of one database, with its jobs, its trigger and its sweep."""

    workflows: list[Workflow] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    trigger_enabled: bool = True
    faulty: set[tuple[int, int]] = field(default_factory=set)
    """(workflow index, position) of steps that cannot be settled now."""

    faults: dict[int, Outcome] = field(default_factory=dict)
    """Job index -> the outcome that could not be settled."""

    def insert(self, workflow: Workflow) -> None:
        self.workflows.append(workflow)
        self._move(workflow)

    def settle(self, jobs: list[Job]) -> None:
        """The trigger: these jobs were just changed or deleted, in one statement."""
        if not self.trigger_enabled:
            return
        for job in jobs:
            self._settle_guarded(outcome_of(job, seen=True))

    def sweep(self) -> None:
        """Repairs what faulted, then compares every step that is under way with its job."""
        for index, outcome in list(self.faults.items()):
            if not self._faults(outcome):
                del self.faults[index]
                self._settle(outcome)
        for job in list(self.jobs):
            if job.step.state == "available" and not job.live and self.jobs.index(job) not in self.faults:
                self._settle_guarded(outcome_of(job, seen=False))

    def _settle_guarded(self, outcome: Outcome) -> None:
        if self._faults(outcome):
            self.faults[self.jobs.index(outcome.job)] = outcome
        else:
            self._settle(outcome)

    def _faults(self, outcome: Outcome) -> bool:
        step = outcome.job.step
        return step.state == "available" and (self.workflows.index(step.workflow), step.position) in self.faulty

    def _settle(self, outcome: Outcome) -> None:
        step = outcome.job.step
        if step.state != "available":
            return
        step.state, step.attempt, step.cause = outcome.state, outcome.attempt, outcome.cause
        step.result, step.error = outcome.result, outcome.error
        self._move(step.workflow)

    def _move(self, workflow: Workflow) -> None:
        moved = True
        while moved:
            moved = any(self._look_at(step) for step in workflow.steps if step.state == "pending")

    def _look_at(self, step: Step) -> bool:
        parents = [(step.workflow.steps[position], policy) for position, policy in step.parents.items()]
        if any(parent.failed and policy == "cancel" for parent, policy in parents):
            step.state, step.cause = "cancelled", "cancelled_by_dependency"
        elif all(parent.ended for parent, _ in parents):
            step.state = "available"
            step.job = Job(step, resolve(step.args, step.workflow))
            self.jobs.append(step.job)
        else:
            return False
        return True


def resolve(value: Any, workflow: Workflow) -> Any:
    """Args with every reference replaced by what it refers to."""
    if isinstance(value, Ref):
        step = workflow.steps[value.parent]
        found = (step.result[0] if step.result else None) if value.part == "result" else step.error
        return narrow(found, value.path)
    if isinstance(value, dict):
        return {key: resolve(item, workflow) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, workflow) for item in value]
    return value


def narrow(value: Any, path: tuple[str | int, ...]) -> Any:
    """The part of a JSON value under a path; None where there is none."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, list):
            try:
                value = value[int(key)]
            except (ValueError, IndexError):
                return None
        else:
            return None
    return value
