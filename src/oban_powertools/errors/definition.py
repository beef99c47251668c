"""Errors of a workflow's definition, of a value or of an insert.

Nothing was written, except before ``PartlyInsertedError``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .base import PowertoolsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a workflow definition."""

    code: str
    """Stable name: ``cycle_detected``, ``missing_dependency``, ``non_serializable``, ..."""

    message: str
    """What was found and what to do."""

    step: str | None = None
    """The step at fault; None when it is the workflow itself."""

    path: str | None = None
    """Where in the step: ``args.customer.id``; None when it is the step as a whole."""

    added_at: str | None = None
    """The line of code that added the step, ``file:line``; None when it is the workflow itself."""

    def __str__(self) -> str:
        place = ".".join(part for part in (self.step, self.path) if part)
        line = f" (added at {self.added_at})" if self.added_at else ""
        return f"{place + ': ' if place else ''}{self.message} [{self.code}]{line}"


class InvalidWorkflowError(PowertoolsError):
    """A definition is faulty; nothing was written. ``faults`` lists everything that is wrong."""

    code = "invalid_workflow"

    workflow: str
    faults: Sequence[Fault]

    def __str__(self) -> str:
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        return f"workflow {self.workflow!r} has {len(self.faults)} fault(s), nothing was written:\n{lines}"


class IdempotencyConflictError(PowertoolsError):
    """The idempotency key belongs to a workflow with another definition."""

    code = "idempotency_conflict"
    sentence = (
        "idempotency key {idempotency_key!r} belongs to workflow {workflow_id}, which has another definition: use "
        "another key, or insert the same definition"
    )

    idempotency_key: str
    workflow_id: int


class PartlyInsertedError(PowertoolsError):
    """An insert in slices failed after some were committed. ``__cause__`` is the error that ended it."""

    code = "partly_inserted"

    workflow_ids: Sequence[int]
    """Of the stored ones: the first ones of the list, in its order. Those of the slice that failed are stored, too, if
    its commit was done and the reply was lost."""

    total: int
    """How many were given."""

    why: str
    """What the error said."""

    def __str__(self) -> str:
        return (
            f"the first {len(self.workflow_ids)} of {self.total} workflows are stored and run, then the insert failed: "
            f"{self.why}; insert the others again, or all of them where each has an idempotency key"
        )


class UnstorableValueError(PowertoolsError):
    """A value is not JSON-safe or too large; ``faults`` says where."""

    code = "unstorable_value"

    what: str
    faults: Sequence[Fault]

    def __str__(self) -> str:
        return f"{self.what} cannot be stored: " + "; ".join(str(fault) for fault in self.faults)


class UnfitValueError(PowertoolsError, ValueError):
    """A worker's args, or a result, do not fit their annotations; ``faults`` says where, and never shows a value."""

    code = "unfit_value"

    what: str
    faults: Sequence[Fault]

    def __str__(self) -> str:
        return f"{self.what} must fit the annotations: " + "; ".join(str(fault) for fault in self.faults)


class UnsupportedAnnotationError(PowertoolsError, TypeError):
    """A parameter or the result of a worker is annotated with a type that has no JSON form."""

    code = "unsupported_annotation"
    sentence = (
        "{worker} cannot be a worker: {parameter} is annotated with {annotation}, which has no JSON form: {advice}"
    )

    worker: str
    parameter: str
    annotation: str
    advice: str
