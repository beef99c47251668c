"""Errors of commands: the target does not exist, or a refusal that names what is legal instead."""

from collections.abc import Sequence
from typing import ClassVar

from ..spelling import did_you_mean
from ..states import SEMANTICS_VERSION
from .base import PowertoolsError


class NotFoundError(PowertoolsError):
    """What was named does not exist."""

    code = "not_found"
    names: ClassVar[tuple[str, ...]] = ()
    """The kind of what it names, as in the audit, then the fields with its id; empty for what has no id."""

    @property
    def subject(self) -> tuple[str, str] | None:
        """Kind and id of what was named; None where it was named otherwise, as by a token."""
        values = [getattr(self, name) for name in self.names[1:]]
        return None if not values or None in values else (self.names[0], "/".join(map(str, values)))


class WorkflowNotFoundError(NotFoundError):
    """No workflow has this id."""

    code = "workflow_not_found"
    names: ClassVar[tuple[str, ...]] = ("workflow", "workflow_id")
    sentence = (
        "workflow {workflow_id} does not exist (or is not committed yet, or was pruned): powertools workflow list "
        "shows those that do"
    )

    workflow_id: int


class StepNotFoundError(NotFoundError):
    """The workflow has no step of this name."""

    code = "step_not_found"
    names: ClassVar[tuple[str, ...]] = ("step", "workflow_id", "step")
    sentence = (
        "workflow {workflow_id} has no step {step!r}{meant}: powertools workflow show {workflow_id} lists its steps"
    )

    workflow_id: int
    step: str
    meant: str = ""


class JobNotFoundError(NotFoundError):
    """No job has this id."""

    code = "job_not_found"
    names: ClassVar[tuple[str, ...]] = ("job", "job_id")
    sentence = "job {job_id} does not exist (or was pruned)"

    job_id: int


class QueueNotFoundError(NotFoundError):
    """No executor serves this queue there; when it was only read, it has no jobs either."""

    code = "queue_not_found"

    queue: str
    node: str
    meant: str = ""

    def __str__(self) -> str:
        # Nobody starts an executor for a name that was mistyped.
        starts = f"powertools start --queues {self.queue}:10 starts an executor for it, and "
        return (
            f"nobody serves queue {self.queue} on {self.node}{self.meant}: {'' if self.meant else starts}powertools "
            "queues list shows the queues that have executors or jobs"
        )


class CommandRefusedError(PowertoolsError):
    """The command is understood and may not be carried out now; nothing changed."""

    code = "command_refused"


class AlreadyTerminalError(CommandRefusedError):
    """The step has its outcome already; a later one is refused."""

    code = "already_terminal"
    sentence = "step {step!r} of workflow {workflow_id} is already {state}: a terminal step keeps its outcome"

    workflow_id: int
    step: str
    state: str


class StepNotReleasedError(CommandRefusedError):
    """The step still waits for its dependencies and cannot be completed."""

    code = "waiting_on_dependencies"
    sentence = "step {step!r} of workflow {workflow_id} is not released, it waits for: {waiting_on}"

    workflow_id: int
    step: str
    waiting_on: Sequence[str]


class UnknownStatusError(CommandRefusedError):
    """The reported status is none a step can end in."""

    code = "unknown_status"
    sentence = "status {status!r} is unknown; expected one of: {expected}"

    status: str
    expected: Sequence[str]

    def __str__(self) -> str:
        return super().__str__() + did_you_mean(self.status, self.expected)


class UnsupportedSemanticsError(CommandRefusedError):
    """The workflow was written by a release with other rules."""

    code = "unsupported_semantics"
    sentence: ClassVar[str] = (
        "workflow {workflow_id} has semantics version {found}, this release changes only version "
        f"{SEMANTICS_VERSION}: it can be read and explained, not changed"
    )

    workflow_id: int
    found: int


class WorkflowEndedError(CommandRefusedError):
    """The workflow has ended; what was asked needs one that runs."""

    code = "workflow_ended"
    instead: ClassVar[str | tuple[str, ...]] = ("recover",)
    sentence = "workflow {workflow_id} is already {state}: there is nothing left to cancel or hold"

    workflow_id: int
    state: str


class IllegalTransitionError(CommandRefusedError):
    """The action does not fit the step's state."""

    code = "illegal_transition"
    instead: ClassVar[str | tuple[str, ...]] = "legal"

    workflow_id: int
    step: str | None
    action: str
    found: str
    legal: Sequence[str]

    def __str__(self) -> str:
        subject = f"step {self.step!r} of workflow {self.workflow_id}" if self.step else f"workflow {self.workflow_id}"
        legal = f"; legal now: {', '.join(self.legal_next_steps)}" if self.legal_next_steps else ""
        return f"cannot {self.action} {subject}: {self.found}{legal}"


class UnsupportedRecoveryActionError(CommandRefusedError):
    """There is no such recovery action."""

    code = "unsupported_recovery_action"
    instead: ClassVar[str | tuple[str, ...]] = "expected"
    sentence = "recovery action {action!r} is unknown; expected one of: {expected}"

    action: str
    expected: Sequence[str]

    def __str__(self) -> str:
        return super().__str__() + did_you_mean(self.action, self.expected)


class UnattributedActorError(CommandRefusedError):
    """No actor is given."""

    code = "unattributed_actor"
    sentence = "an operator's command needs an actor: pass a name, or a mapping with a non-empty id"


class ReservedActorError(CommandRefusedError, ValueError):
    """The actor has a name that is reserved for Powertools or the host's own program."""

    code = "reserved_actor"
    sentence = (
        "the actor {actor!r} of type {actor_type!r} is Powertools itself or the host's own program: use another id, "
        "and the type user, service or agent"
    )

    actor: str
    actor_type: str


class ReasonRequiredError(CommandRefusedError):
    """The command came without a reason."""

    code = "reason_required"
    sentence = "an operator's command needs a reason: say why, for the readers of the audit"
