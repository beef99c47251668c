"""What an operator may meet who previews and executes a repair."""

from collections.abc import Sequence

from .commands import CommandRefusedError, NotFoundError


class UnsupportedActionError(CommandRefusedError):
    """There is no such repair."""

    code = "unsupported_action"

    def __init__(self, action: str, expected: Sequence[str]) -> None:
        super().__init__(action, tuple(expected))
        self.action = action
        self.legal_next_steps = tuple(expected)

    def __str__(self) -> str:
        return f"{self.action!r} is no repair; expected one of: {', '.join(self.legal_next_steps)}"


class UnsupportedTargetError(CommandRefusedError):
    """The repair is not for this type of target, or the id is none of that type."""

    code = "unsupported_target"

    def __init__(self, action: str, found: str, expected: str) -> None:
        super().__init__(action, found, expected)
        self.action = action
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.action} cannot be done to {self.found}; expected {self.expected}"


class TargetNotFoundError(NotFoundError):
    """What the repair is about does not exist."""

    code = "target_not_found"

    def __init__(self, target_type: str, target_id: str) -> None:
        super().__init__(target_type, target_id)
        self.target_type = target_type
        self.target_id = target_id

    def __str__(self) -> str:
        return f"{self.target_type.replace('_', ' ')} {self.target_id} does not exist (or was pruned)"


class IllegalRepairError(CommandRefusedError):
    """The repair does not fit its target as it is."""

    code = "illegal_repair"

    def __init__(self, action: str, target: str, found: str) -> None:
        super().__init__(action, target, found)
        self.action = action
        self.target = target
        self.found = found

    def __str__(self) -> str:
        return f"cannot {self.action} {self.target}: {self.found}"


class HeartbeatLateError(CommandRefusedError):
    """The executor of the job is late, not gone: it may still be at work."""

    code = "heartbeat_late"

    def __init__(self, job_id: int, executor_id: str, seconds: int) -> None:
        super().__init__(job_id, executor_id, seconds)
        self.job_id = job_id
        self.executor_id = executor_id
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"job {self.job_id} may still run: its executor {self.executor_id} is late, it beat {self.seconds} s ago; "
            "wait until it is missing or beats again"
        )


class RepairRequiresMissingExecutorError(CommandRefusedError):
    """The executor of the job is alive."""

    code = "repair_requires_missing_executor"

    def __init__(self, subject: str, executor_id: str) -> None:
        super().__init__(subject, executor_id)
        self.subject = subject
        self.executor_id = executor_id

    def __str__(self) -> str:
        return f"{self.subject}: its executor {self.executor_id} is alive; cancel the job instead"


class IncidentMismatchError(CommandRefusedError):
    """The target does not belong to the incident that was named."""

    code = "incident_mismatch"

    def __init__(self, target: str, incident_fingerprint: str, found: str) -> None:
        super().__init__(target, incident_fingerprint, found)
        self.target = target
        self.incident_fingerprint = incident_fingerprint
        self.found = found

    def __str__(self) -> str:
        return f"{self.target} does not belong to incident {self.incident_fingerprint}: {self.found}"


class PreviewNotFoundError(NotFoundError):
    """No preview has this id or token."""

    code = "preview_not_found"

    def __str__(self) -> str:
        return "there is no such preview (or retention has removed it): preview the repair again"


class PreviewOfAnotherActorError(CommandRefusedError):
    """The token was given to somebody else."""

    code = "preview_of_another_actor"

    def __init__(self, preview_id: int) -> None:
        super().__init__(preview_id)
        self.preview_id = preview_id

    def __str__(self) -> str:
        return f"preview {self.preview_id} was made by another actor: preview the repair yourself"


class PreviewConsumedError(CommandRefusedError):
    """The token was used before."""

    code = "preview_consumed"

    def __init__(self, preview_id: int) -> None:
        super().__init__(preview_id)
        self.preview_id = preview_id

    def __str__(self) -> str:
        return f"preview {self.preview_id} was executed before: a token counts once"


class PreviewExpiredError(CommandRefusedError):
    """The token is too old."""

    code = "preview_expired"

    def __init__(self, preview_id: int) -> None:
        super().__init__(preview_id)
        self.preview_id = preview_id

    def __str__(self) -> str:
        return f"preview {self.preview_id} has expired: preview the repair again"


class PreviewDriftedError(CommandRefusedError):
    """What the preview showed is no longer what the repair would do; nothing changed."""

    code = "preview_drifted"

    def __init__(self, preview_id: int, changed: Sequence[str]) -> None:
        super().__init__(preview_id, tuple(changed))
        self.preview_id = preview_id
        self.changed = tuple(changed)

    def __str__(self) -> str:
        shown = "; ".join(self.changed[:10])
        more = f"; and {len(self.changed) - 10} more" if len(self.changed) > 10 else ""
        return f"preview {self.preview_id} is no longer true: {shown}{more}. Preview the repair again"


class ReasonTooShortError(CommandRefusedError):
    """The reason says too little."""

    code = "reason_too_short"

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"the reason has {self.found} characters, expected {self.expected} at least: say why, for whoever reads it"
        )


class BulkFilterError(CommandRefusedError):
    """The filter of a bulk repair is empty, unknown, or matches nothing."""

    code = "bulk_filter"

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"the filter {self.found}; expected {self.expected}"


class BulkTooLargeError(CommandRefusedError):
    """More targets match than one bulk repair may have."""

    code = "bulk_too_large"

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def __str__(self) -> str:
        return f"more than {self.most} targets match: narrow the filter, or repair them in several parts"


class BulkCountError(CommandRefusedError):
    """A large bulk repair was not confirmed with its number of targets."""

    code = "bulk_count"

    def __init__(self, found: int | None, expected: int) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        given = "no number of targets was given" if self.found is None else f"{self.found} targets were given"
        return f"{given}, and the bulk has {self.expected}: say how many it changes, to show that you know"
