"""What an operator met who may not do what was asked."""

from .commands import CommandRefusedError, NotFoundError


class NotAuthorizedError(CommandRefusedError):
    """The host did not allow it, or was never asked because no authorize was given."""

    code = "not_authorized"

    def __init__(self, actor: str, action: str, target: str, why: str) -> None:
        super().__init__(actor, action, target, why)
        self.actor = actor
        self.action = action
        self.target = target
        self.why = why

    def __str__(self) -> str:
        return f"{self.actor!r} may not {self.action} {self.target}: {self.why}"


class AuditRecordNotFoundError(NotFoundError):
    """No record of the audit has this id."""

    code = "audit_record_not_found"

    def __init__(self, record_id: int) -> None:
        super().__init__(record_id)
        self.record_id = record_id

    def __str__(self) -> str:
        return f"audit record {self.record_id} does not exist (or retention has removed it)"
