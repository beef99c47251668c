"""Project incidents: in the sweep of any node, on demand, and one of them after a repair.

The rules are in SQL. A projection that fails does not stop the sweep.
"""

from typing import Final

import psycopg

from ...acts import Action
from ...config import Settings
from ...database import Session
from ...incident_classes import find_row
from ...privacy.logs import find_logger

logger: Final = find_logger(__name__)


class Projector:
    """Projects incidents from the rows."""

    def __init__(self, settings: Settings) -> None:
        self._every = settings.incidents_every

    async def project(self, session: Session, fingerprint: str | None = None) -> None:
        """Bring every incident, or this one, in line with the current rows.

        Locks: the part's row until the transaction ends; the incidents that change.
        """
        await session.run("project_incidents", {"fingerprint": fingerprint})

    async def sweep(self, session: Session) -> bool:
        """Project when no node has for ``incidents_every``.

        Args:
            session: In autocommit.

        Returns:
            Whether this node did. A fault is logged: the other parts of the sweep go on.
        """
        try:
            row = await session.one("sweep_incidents", {"every": self._every})
        except psycopg.Error:
            logger.exception("the projection of incidents failed; the next sweep tries again")
            return False
        return bool(row and row["projected"])

    async def find_id(self, session: Session, fingerprint: str) -> int | None:
        """The incident's id; None when there is no such incident."""
        row = await session.one("get_incident", {"id": None, "fingerprint": fingerprint})
        return row["id"] if row else None

    async def recompute(self, session: Session, fingerprint: str) -> int | None:
        """Project one incident again, in the repair's own transaction.

        Returns:
            Its id; None when there is no such incident.
        """
        incident_id = await self.find_id(session, fingerprint)
        if incident_id is not None:
            await self.project(session, fingerprint)
        return incident_id

    async def warn(self, session: Session, fingerprint: str, action: Action) -> str | None:
        """A warning before a repair that runs work again, when the incident's cause may still be there; else None."""
        if not action.row.runs_again:
            return None
        row = await session.one("get_incident", {"id": None, "fingerprint": fingerprint})
        if row is None or row["state"] == "resolved":
            return None
        known = find_row(row["class"])
        if known is None or not known.may_recur:
            return None
        return f"the cause is still active: {row['title']}; unless it was removed, the same may happen again"
