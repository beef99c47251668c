"""Refusals of an operator who may not do what they asked for."""

from typing import ClassVar

from .commands import CommandRefusedError, NotFoundError


class NotAuthorizedError(CommandRefusedError):
    """The host did not allow it, or was never asked because no authorize was given."""

    code = "not_authorized"
    sentence = "{actor!r} may not {action} {target}: {why}"

    actor: str
    action: str
    target: str
    why: str


class ApprovalMissingError(NotAuthorizedError):
    """The host wants a second person for it, and nobody has approved its preview."""

    code = "approval_missing"
    sentence = "{action} {target} needs a second person: let somebody else read its preview and approve it"


class AuditRecordNotFoundError(NotFoundError):
    """No record of the audit has this id."""

    code = "audit_record_not_found"
    names: ClassVar[tuple[str, ...]] = ("audit_record", "record_id")
    sentence = "audit record {record_id} does not exist (or retention has removed it)"

    record_id: int
