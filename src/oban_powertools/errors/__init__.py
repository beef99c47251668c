"""Every error a caller can meet, with a stable code and a sentence that helps.

PowertoolsError
    ConfigurationError
        DsnMissingError
        EmbeddedNotInstalledError
        WebhooksNotInstalledError
        WebhookSecretMissingError
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
        WebhookNotFoundError
        WebhookDeliveryNotFoundError
        AuditRecordNotFoundError
        IncidentNotFoundError
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
        NotAuthorizedError
        IncidentResolvedError
        UnpublishableChangeError
    UnstorableValueError
    WaitTimeoutError
    NotInStepError
    CursorExpiredError

Fields go to ``Exception.__init__`` in order, so that errors survive pickling; ``__str__`` makes
the sentence: what was found, what was expected, what to do.
"""

from .authorization import (
    AuditRecordNotFoundError,
    NotAuthorizedError,
)
from .base import (
    PowertoolsError,
)
from .commands import (
    AlreadyTerminalError,
    CommandRefusedError,
    IllegalTransitionError,
    JobNotFoundError,
    NotFoundError,
    ReasonRequiredError,
    StepNotFoundError,
    StepNotReleasedError,
    UnattributedActorError,
    UnknownStatusError,
    UnsupportedRecoveryActionError,
    UnsupportedSemanticsError,
    WorkflowEndedError,
    WorkflowNotFoundError,
)
from .definition import (
    Fault,
    IdempotencyConflictError,
    InvalidWorkflowError,
    UnstorableValueError,
)
from .events import (
    CursorExpiredError,
    UnpublishableChangeError,
)
from .incidents import (
    IncidentNotFoundError,
    IncidentResolvedError,
)
from .running import (
    NotInStepError,
    WaitTimeoutError,
)
from .setup import (
    ConfigurationError,
    DatabaseUnavailableError,
    DsnMissingError,
    EmbeddedNotInstalledError,
    InvalidSettingError,
    ReadOnlyDatabaseError,
    SchemaAheadError,
    SchemaBehindError,
    SchemaError,
    SchemaMissingError,
    UnknownObanSchemaError,
)
from .webhooks import (
    WebhookDeliveryNotFoundError,
    WebhookNotFoundError,
    WebhookSecretMissingError,
    WebhooksNotInstalledError,
)

__all__ = [
    "AlreadyTerminalError",
    "AuditRecordNotFoundError",
    "CommandRefusedError",
    "ConfigurationError",
    "CursorExpiredError",
    "DatabaseUnavailableError",
    "DsnMissingError",
    "EmbeddedNotInstalledError",
    "Fault",
    "IdempotencyConflictError",
    "IllegalTransitionError",
    "IncidentNotFoundError",
    "IncidentResolvedError",
    "InvalidSettingError",
    "InvalidWorkflowError",
    "JobNotFoundError",
    "NotAuthorizedError",
    "NotFoundError",
    "NotInStepError",
    "PowertoolsError",
    "ReadOnlyDatabaseError",
    "ReasonRequiredError",
    "SchemaAheadError",
    "SchemaBehindError",
    "SchemaError",
    "SchemaMissingError",
    "StepNotFoundError",
    "StepNotReleasedError",
    "UnattributedActorError",
    "UnknownObanSchemaError",
    "UnknownStatusError",
    "UnpublishableChangeError",
    "UnstorableValueError",
    "UnsupportedRecoveryActionError",
    "UnsupportedSemanticsError",
    "WaitTimeoutError",
    "WebhookDeliveryNotFoundError",
    "WebhookNotFoundError",
    "WebhookSecretMissingError",
    "WebhooksNotInstalledError",
    "WorkflowEndedError",
    "WorkflowNotFoundError",
]
