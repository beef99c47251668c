"""Errors of previewing and executing repairs."""

from collections.abc import Sequence
from typing import ClassVar

from ..spelling import did_you_mean
from .commands import CommandRefusedError, NotFoundError


class UnsupportedActionError(CommandRefusedError):
    """There is no such repair."""

    code = "unsupported_action"
    instead: ClassVar[str | tuple[str, ...]] = "expected"
    sentence = "{action!r} is no repair; expected one of: {expected}"

    action: str
    expected: Sequence[str]

    def __str__(self) -> str:
        return super().__str__() + did_you_mean(self.action, self.expected)


class UnsupportedTargetError(CommandRefusedError):
    """The repair is not for this type of target, or the id is none of that type."""

    code = "unsupported_target"
    sentence = "{action} cannot be done to {found}; expected {expected}"

    action: str
    found: str
    expected: str


class TargetNotFoundError(NotFoundError):
    """What the repair is about does not exist."""

    code = "target_not_found"

    names: ClassVar[tuple[str, ...]] = ("target", "target_type", "target_id")

    target_type: str
    target_id: str

    @property
    def subject(self) -> tuple[str, str]:
        """Type and id of the target."""
        return self.target_type, self.target_id

    def __str__(self) -> str:
        return f"{self.target_type.replace('_', ' ')} {self.target_id} does not exist (or was pruned)"


class IllegalRepairError(CommandRefusedError):
    """The repair does not fit its target as it is."""

    code = "illegal_repair"
    sentence = "cannot {action} {target}: {found}"

    action: str
    target: str
    found: str


class HeartbeatLateError(CommandRefusedError):
    """The executor of the job is late, not gone: it may still be at work."""

    code = "heartbeat_late"
    sentence = (
        "job {job_id} may still run: its executor {executor_id} is late, its last heartbeat came {seconds} s ago; "
        "{advice}"
    )

    job_id: int
    executor_id: str
    seconds: int
    missing_in: int
    advice: str


class RepairRequiresMissingExecutorError(CommandRefusedError):
    """The executor of the job is alive."""

    code = "repair_requires_missing_executor"
    sentence = "{subject}: its executor {executor_id} is alive; {advice}"

    subject: str
    executor_id: str
    missing_in: int | None
    advice: str


class IncidentMismatchError(CommandRefusedError):
    """The target does not belong to the incident that was named."""

    code = "incident_mismatch"
    sentence = "{target} does not belong to incident {incident_fingerprint}: {found}"

    target: str
    incident_fingerprint: str
    found: str


class PreviewNotFoundError(NotFoundError):
    """No preview has this id or token."""

    code = "preview_not_found"
    sentence = "there is no such preview (or retention has removed it): preview the repair again"
    names: ClassVar[tuple[str, ...]] = ("preview", "number")

    number: int | None = None


class BulkNotFoundError(PreviewNotFoundError):
    """No bulk repair has this id or token."""

    code = "bulk_not_found"
    sentence = "there is no such bulk repair (or retention has removed it): preview it again"
    names: ClassVar[tuple[str, ...]] = ("bulk", "number")


class PreviewOfAnotherActorError(CommandRefusedError):
    """The token was given to somebody else."""

    code = "preview_of_another_actor"
    sentence = "preview {preview_id} was made by another actor: preview the repair yourself"

    preview_id: int


class OwnPreviewError(CommandRefusedError):
    """Its own actor cannot be the second person."""

    code = "own_preview"
    sentence = "preview {preview_id} is your own: somebody else has to approve it"

    preview_id: int


class PreviewConsumedError(CommandRefusedError):
    """The token was used before."""

    code = "preview_consumed"
    sentence = "preview {preview_id} was executed before: a token is valid once"

    preview_id: int


class PreviewExpiredError(CommandRefusedError):
    """The token is too old."""

    code = "preview_expired"

    preview_id: int
    refused: str | None = None

    def __str__(self) -> str:
        return f"preview {self.preview_id} has expired: {_advise(self.refused)}"


class PreviewDriftedError(CommandRefusedError):
    """What the preview showed is no longer what the repair would do; nothing changed."""

    code = "preview_drifted"

    preview_id: int
    changed: Sequence[str]
    refused: str | None = None

    def __str__(self) -> str:
        listed = "; ".join(self.changed[:10])
        more = f"; and {len(self.changed) - 10} more" if len(self.changed) > 10 else ""
        advice = _advise(None if self.refused in self.changed else self.refused, fits=self.refused is None)
        return f"preview {self.preview_id} is no longer true: {listed}{more}. {advice[:1].upper()}{advice[1:]}"


def _advise(refused: str | None, *, fits: bool = True) -> str:
    """To preview the repair again, only where that would be accepted."""
    if refused is None and fits:
        return "preview the repair again"
    return f"the repair does not fit any more{f': {refused}' if refused else ''}"


class ReasonTooShortError(CommandRefusedError):
    """The reason says too little."""

    code = "reason_too_short"
    sentence = "the reason has {found} characters, expected {expected} at least: say why, for the readers of the audit"

    found: int
    expected: int


class BulkFilterError(CommandRefusedError):
    """The filter of a bulk repair is empty or unknown, or it matches nothing (``BulkMatchesNothingError``)."""

    code = "bulk_filter"
    sentence = "the filter {found}; expected {expected}"

    found: str
    expected: str


class BulkMatchesNothingError(BulkFilterError):
    """Nothing is as the filter of a bulk repair says now."""

    code = "bulk_matches_nothing"


class BulkTooLargeError(CommandRefusedError):
    """More targets match than one bulk repair may have."""

    code = "bulk_too_large"
    sentence = "more than {most} targets match: narrow the filter, or repair them in several parts"

    most: int


class BulkCountError(CommandRefusedError):
    """A large bulk repair was not confirmed with its number of targets."""

    code = "bulk_count"

    found: int | None
    expected: int

    def __str__(self) -> str:
        counted = "no number of targets was given" if self.found is None else f"{self.found} targets were given"
        return f"{counted}, and the bulk has {self.expected}: say how many it changes, to show that you know"
