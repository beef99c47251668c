"""Seal the audit in the background: a part of the sweep, on the node that gets the try-lock.

No operator's change waits for a seal.
"""

from typing import Final

import psycopg

from ...database import Session
from ...privacy.logs import Public, find_logger

logger: Final = find_logger(__name__)

_AT_ONCE: Final = 1000
"""Rows of one seal."""

_AT_MOST: Final = 20
"""Seals of one sweep."""


async def seal(session: Session) -> int | None:
    """Seal the committed rows; returns their number, None when sealing failed or another node does it.

    The head of the chain goes to the log at INFO: with a log stored elsewhere, a rewritten chain can be detected.

    Args:
        session: In autocommit: each seal is a transaction of its own.

    Locks: the part's row.
    """
    sealed = 0
    try:
        for _ in range(_AT_MOST):
            row = await session.one("seal_audit", {"batch": _AT_ONCE})
            if row is None or row["sealed"] is None:
                return None
            if not row["sealed"]:
                break
            sealed += row["sealed"]
            logger.info("audit sealed, %d rows, head %s", row["sealed"], Public(row["head"]))
            if row["sealed"] < _AT_ONCE:
                break
    except psycopg.errors.InsufficientPrivilege:
        logger.error("this role may not seal the audit: the owner has to run the SQL of powertools roles")
        return None
    except psycopg.Error:
        logger.exception("sealing the audit failed; the next sweep tries again")
        return None
    return sealed
