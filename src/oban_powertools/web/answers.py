"""What an error means to whoever asked over HTTP: its status, its code and its sentence, once for pages and JSON.

The rule that must never break: the text of an unexpected error is logged, never sent.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import psycopg
from starlette.exceptions import HTTPException

from ..database.sqlstates import Trouble, find_trouble
from ..errors import (
    BulkCountError,
    BulkFilterError,
    BulkTooLargeError,
    CommandRefusedError,
    ConfigurationError,
    CursorExpiredError,
    DatabaseUnavailableError,
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidSettingError,
    InvalidWorkflowError,
    NotAuthorizedError,
    NotFoundError,
    PowertoolsError,
    PreviewExpiredError,
    PreviewOfAnotherActorError,
    ReadOnlyDatabaseError,
    ReasonRequiredError,
    ReasonTooShortError,
    ReservedActorError,
    SchemaError,
    StepNotCompletedError,
    UnattributedActorError,
    UnfitValueError,
    UnknownStatusError,
    UnpublishableChangeError,
    UnstorableValueError,
    UnsupportedActionError,
    UnsupportedRecoveryActionError,
    UnsupportedTargetError,
)
from ..privacy.redaction import redacted

_STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (UnattributedActorError, 401),
    (NotAuthorizedError, 403),
    (NotFoundError, 404),
    (PreviewExpiredError, 410),
    (ReasonRequiredError, 428),
    (ReasonTooShortError, 422),
    (ReservedActorError, 403),
    (PreviewOfAnotherActorError, 403),
    (UnsupportedActionError, 422),
    (UnsupportedTargetError, 422),
    (UnsupportedRecoveryActionError, 422),
    (UnknownStatusError, 422),
    (UnpublishableChangeError, 422),
    (BulkFilterError, 422),
    (BulkTooLargeError, 422),
    (BulkCountError, 428),
    (CommandRefusedError, 409),
    (IdempotencyConflictError, 409),
    (StepNotCompletedError, 409),
    (CursorExpiredError, 410),
    (DatabaseUnavailableError, 503),
    (ReadOnlyDatabaseError, 503),
    (SchemaError, 503),
    (UnstorableValueError, 422),
    (UnfitValueError, 422),
    (InvalidWorkflowError, 422),
    (InvalidArgumentError, 422),
    (InvalidSettingError, 422),
    (ConfigurationError, 500),
)
"""Error -> status; the first match counts."""

_TITLES: Final = {
    400: "That cannot be read",
    401: "Who are you?",
    403: "Not allowed",
    404: "Nothing is here",
    405: "Not in this way",
    409: "It was refused",
    410: "It is gone",
    412: "Not as many",
    413: "Too large",
    415: "Not in this form",
    421: "Not this host",
    422: "That is not accepted",
    428: "A reason is missing",
    429: "Too many at once",
    500: "This went wrong",
    503: "The database does not answer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong, as it may be shown."""

    status: int
    """Of HTTP."""

    code: str
    """Stable, for scripts."""

    title: str
    """A few words."""

    detail: str
    """What was found, what was expected, what to do."""

    legal_next: tuple[str, ...] = ()
    """Acts that may be done instead."""

    retry_after: int | None = None
    """Seconds after which it may succeed."""


class NothingReadError(Exception):
    """No part of a page could be read, all for the same reason."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__(problem)
        self.problem = problem


class GoneError(Exception):
    """What was not found had been there."""

    def __init__(self, error: NotFoundError) -> None:
        super().__init__(error)
        kind, target_id = error.subject or ("", "")
        self.title: str = f"{kind.capitalize().replace('_', ' ')} {target_id}"
        self.problem: Problem = _problem(410, error.code, f"{self.title} is gone. {WHY_GONE}")


WHY_GONE: Final = (
    "Its number has been given, and nothing has it now: retention removes what ended long ago, and what a transaction "
    "that was rolled back would have made was never stored. A number is not given again."
)


def find_problem(error: BaseException) -> Problem | None:
    """What an expected error means; None for one that nobody expected."""
    match error:
        case NothingReadError() | GoneError():
            return error.problem
        case HTTPException():
            return _of_http(error)
        case PowertoolsError():
            status = _status_of(error)
            return _problem(status, error.code, redacted(str(error)), error.legal_next_steps)
        case psycopg.errors.InsufficientPrivilege():
            return _problem(403, "database_refused", "The console's database user may not do this.")
        case psycopg.errors.QueryCanceled() | TimeoutError():
            return Problem(
                status=503,
                code="too_slow",
                title="It takes too long",
                detail="The database did not answer in time. Ask for less, or try again.",
                retry_after=5,
            )
        case psycopg.Error() | OSError() if find_trouble(error) is not Trouble.REFUSED:
            return _problem(503, "database_unavailable", "The database does not answer. Nothing was changed.")
        case _:
            return None


def unexpected(request_id: str) -> Problem:
    """The problem of an error that nobody expected."""
    detail = f"The log of this process has the whole story under request {request_id}."
    return _problem(500, "unexpected_error", detail)


def status_of(kind: type[Exception]) -> int:
    """The status of a class of errors."""
    return next((status for base, status in _STATUSES if issubclass(kind, base)), 500)


def title_of(status: int) -> str:
    """A few words for a status."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def _status_of(error: PowertoolsError) -> int:
    """The status of an error; a number of targets that is wrong, and not missing, has one of its own."""
    wrong = isinstance(error, BulkCountError) and error.found is not None
    return 412 if wrong else status_of(type(error))


def _problem(status: int, code: str, detail: str, legal_next: tuple[str, ...] = ()) -> Problem:
    return Problem(
        status=status,
        code=code,
        title=title_of(status),
        detail=detail,
        legal_next=legal_next,
        retry_after=5 if status == 503 else None,
    )


def _of_http(error: HTTPException) -> Problem:
    plain = error.detail == HTTPStatus(error.status_code).phrase
    code = HTTPStatus(error.status_code).name.lower()
    detail = _PLAIN.get(error.status_code, "") if plain else error.detail
    return _problem(error.status_code, code, detail)


_PLAIN: Final = {
    401: "This console does not know who you are. Sign in where you sign in to the application, and come back.",
    403: "You may not see this.",
    404: "No page of the console has this address.",
    405: "This address is for another kind of request.",
}
