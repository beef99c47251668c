"""Classify a failed statement by its SQLSTATE and by whether the connection still lives.

psycopg's classes are too coarse: a server that shuts down and a value that is too large are both an OperationalError.
The rule that must never break: a failure that is neither the server's nor another session's is blamed on the
statement, so that nobody repeats it for ever.
"""

from enum import StrEnum
from typing import Final

import psycopg


class Trouble(StrEnum):
    """Why a statement failed, and what helps."""

    LOST = "lost"
    """The connection or the server is gone, perhaps after the commit: try again later, or elsewhere."""

    CONTENDED = "contended"
    """Another session was in the way: try again."""

    EXHAUSTED = "exhausted"
    """The server lacks a resource, or cancelled the statement: trying again may help, or it may always be too much."""

    REFUSED = "refused"
    """The database or the driver refuses what was sent: trying again never helps."""


_SERVER_GOES: Final = ("08", "57P", "25P03", "25P04")
"""How the SQLSTATEs begin that a server sends before it closes the connection. On one that lives, some code raised
them."""

_BY_SQLSTATE: Final = (
    (_SERVER_GOES, Trouble.EXHAUSTED),
    # a constraint that is checked at the commit
    (("40002",), Trouble.REFUSED),
    # another session's row; a primary that has become a replica; a statement prepared in another session of a pooler
    (("40", "55006", "55P03", "25006", "26000", "42P05"), Trouble.CONTENDED),
    (("53", "57"), Trouble.EXHAUSTED),
)
"""How SQLSTATEs begin -> what they mean while the connection lives; the first match counts. All others mean REFUSED."""


def find_trouble(error: BaseException, *, lives: bool | None = None) -> Trouble:
    """What an error from a statement means.

    Args:
        error: From the driver, the database, or whatever made the statement.
        lives: Whether its connection still lives; False where there was none. None when unknown: then the error
        decides.
    """
    code = (error.sqlstate if isinstance(error, psycopg.Error) else None) or ""
    if lives is None:
        disconnected = not code and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | OSError)
        lives = not disconnected and not code.startswith(_SERVER_GOES)
    if not lives:
        return Trouble.LOST
    if is_notify_queue_full(error):
        # The notification queue filled up in between; a retry sends no notification then (sql: notify_v1).
        return Trouble.CONTENDED
    return next((trouble for starts, trouble in _BY_SQLSTATE if code.startswith(starts)), Trouble.REFUSED)


def is_notify_queue_full(error: BaseException) -> bool:
    """Whether a transaction failed because the notification queue is full; works with messages in any language."""
    return isinstance(error, psycopg.Error) and error.diag.source_function == "PreCommit_Notify"
