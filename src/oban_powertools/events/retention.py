"""Number the waiting events and remove old ones while nobody reads the log: a part of the sweep.

A fault here stops no other part of the sweep.
"""

from typing import Final

import psycopg

from .. import telemetry
from ..database import Session
from ..privacy.logs import find_logger

logger: Final = find_logger(__name__)

_AT_ONCE: Final = 1000
"""Batches of events that are removed in one transaction."""

_AT_MOST: Final = 10_000
"""Batches of events that one sweep removes."""


async def keep_events(session: Session) -> bool:
    """Place new events, also where nobody reads the log, and remove old ones in bounded batches.

    Args:
        session: In autocommit.

    Returns:
        Whether it was done; a fault is logged.

    Locks: as place_events_v1 and prune_events_v1, each in a transaction of its own.
    """
    try:
        with telemetry.span(telemetry.Name.KEEP_EVENTS) as measured:
            measured["pruned"] = await _keep(session)
    except psycopg.Error:
        logger.exception("keeping the event log failed; the next sweep tries again")
        return False
    return True


async def _keep(session: Session) -> int:
    row = await session.one("keep_events")
    overdue = row is not None and row["overdue"]
    removed = 0
    for _ in range(0, _AT_MOST if overdue else 0, _AT_ONCE):
        pruned = await session.one("prune_events", {"batch": _AT_ONCE})
        if pruned is None or not pruned["pruned"]:
            break
        removed += pruned["pruned"]
    return removed
