"""What a command met: something that does not exist, or a refusal that says what is legal instead."""

from collections.abc import Sequence

from ..states import SEMANTICS_VERSION
from .base import PowertoolsError


class NotFoundError(PowertoolsError):
    """What was named does not exist."""

    code = "not_found"
    legal_next_steps: tuple[str, ...] = ()
    """What may be done instead, as action names."""


class WorkflowNotFoundError(NotFoundError):
    """No workflow has this id."""

    code = "workflow_not_found"

    def __init__(self, workflow_id: int) -> None:
        super().__init__(workflow_id)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id} does not exist (or is not committed yet, or was pruned): "
            "powertools workflow list shows those that do"
        )


class StepNotFoundError(NotFoundError):
    """The workflow has no step of this name."""

    code = "step_not_found"

    def __init__(self, workflow_id: int, step: str) -> None:
        super().__init__(workflow_id, step)
        self.workflow_id = workflow_id
        self.step = step

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id} has no step {self.step!r}: "
            f"powertools workflow show {self.workflow_id} lists its steps"
        )


class JobNotFoundError(NotFoundError):
    """No job has this id."""

    code = "job_not_found"

    def __init__(self, job_id: int) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"job {self.job_id} does not exist (or was pruned)"


class CommandRefusedError(PowertoolsError):
    """The command is understood and may not be carried out now; nothing changed."""

    code = "command_refused"
    legal_next_steps: tuple[str, ...] = ()
    """What may be done instead, as action names."""


class AlreadyTerminalError(CommandRefusedError):
    """The step has its outcome already; a later one is refused."""

    code = "already_terminal"

    def __init__(self, workflow_id: int, step: str, state: str) -> None:
        super().__init__(workflow_id, step, state)
        self.workflow_id = workflow_id
        self.step = step
        self.state = state

    def __str__(self) -> str:
        return (
            f"step {self.step!r} of workflow {self.workflow_id} is already {self.state}: "
            "a terminal step keeps its outcome"
        )


class StepNotReleasedError(CommandRefusedError):
    """The step still waits for its dependencies and cannot be completed."""

    code = "waiting_on_dependencies"

    def __init__(self, workflow_id: int, step: str, waiting_on: Sequence[str]) -> None:
        super().__init__(workflow_id, step, tuple(waiting_on))
        self.workflow_id = workflow_id
        self.step = step
        self.waiting_on = tuple(waiting_on)

    def __str__(self) -> str:
        parents = ", ".join(self.waiting_on)
        return f"step {self.step!r} of workflow {self.workflow_id} is not released, it waits for: {parents}"


class UnknownStatusError(CommandRefusedError):
    """The reported status is none a step can end in."""

    code = "unknown_status"

    def __init__(self, status: str, expected: Sequence[str]) -> None:
        super().__init__(status, tuple(expected))
        self.status = status
        self.expected = tuple(expected)

    def __str__(self) -> str:
        return f"status {self.status!r} is unknown; expected one of: {', '.join(self.expected)}"


class UnsupportedSemanticsError(CommandRefusedError):
    """The workflow was written by a release with other rules."""

    code = "unsupported_semantics"

    def __init__(self, workflow_id: int, found: int) -> None:
        super().__init__(workflow_id, found)
        self.workflow_id = workflow_id
        self.found = found

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id} has semantics version {self.found}, this release changes only version "
            f"{SEMANTICS_VERSION}: it can be read and explained, not changed"
        )


class WorkflowEndedError(CommandRefusedError):
    """The workflow has ended; what was asked needs one that runs."""

    code = "workflow_ended"
    legal_next_steps = ("recover",)

    def __init__(self, workflow_id: int, state: str) -> None:
        super().__init__(workflow_id, state)
        self.workflow_id = workflow_id
        self.state = state

    def __str__(self) -> str:
        return f"workflow {self.workflow_id} is already {self.state}: there is nothing left to cancel or hold"


class IllegalTransitionError(CommandRefusedError):
    """The action does not fit the step's state."""

    code = "illegal_transition"

    def __init__(self, workflow_id: int, step: str | None, action: str, found: str, legal: Sequence[str]) -> None:
        super().__init__(workflow_id, step, action, found, tuple(legal))
        self.workflow_id = workflow_id
        self.step = step
        self.action = action
        self.found = found
        self.legal_next_steps = tuple(legal)

    def __str__(self) -> str:
        subject = f"step {self.step!r} of workflow {self.workflow_id}" if self.step else f"workflow {self.workflow_id}"
        legal = f"; legal now: {', '.join(self.legal_next_steps)}" if self.legal_next_steps else ""
        return f"cannot {self.action} {subject}: {self.found}{legal}"


class UnsupportedRecoveryActionError(CommandRefusedError):
    """There is no such recovery action."""

    code = "unsupported_recovery_action"

    def __init__(self, action: str, expected: Sequence[str]) -> None:
        super().__init__(action, tuple(expected))
        self.action = action
        self.expected = tuple(expected)
        self.legal_next_steps = tuple(expected)

    def __str__(self) -> str:
        return f"recovery action {self.action!r} is unknown; expected one of: {', '.join(self.expected)}"


class UnattributedActorError(CommandRefusedError):
    """Nobody is named as the one who acts."""

    code = "unattributed_actor"

    def __str__(self) -> str:
        return "an operator's command needs an actor: pass a name, or a mapping with a non-empty id"


class ReservedActorError(CommandRefusedError, ValueError):
    """Somebody names themselves as Powertools or as the host's own program."""

    code = "reserved_actor"

    def __init__(self, actor: str, actor_type: str) -> None:
        super().__init__(actor, actor_type)
        self.actor = actor
        self.actor_type = actor_type

    def __str__(self) -> str:
        return (
            f"the actor {self.actor!r} of type {self.actor_type!r} is Powertools itself or the host's own program: "
            "use another id, and the type user, service or agent"
        )


class ReasonRequiredError(CommandRefusedError):
    """The command came without a reason."""

    code = "reason_required"

    def __str__(self) -> str:
        return "an operator's command needs a reason: say why, for whoever reads the record later"
