"""The calls of ``powertools.audit``: list, get, verify and export.

Reading changes nothing. An export takes all records out, so the host must allow it and it is recorded itself.
"""

from collections.abc import AsyncGenerator
from dataclasses import asdict
from datetime import datetime
from typing import Final

import orjson

from ...arguments import as_count, as_id, as_key, refuse, unless_none
from ...errors import AuditRecordNotFoundError
from ..authorization import Action, ActorLike, Target, TargetType
from ..services import Facade
from . import reading, verifying
from .operations import Operations
from .reading import AuditFilter
from .records import AuditRecord, Verification

MOST: Final = 1000
"""Records of one page."""

_EVERYTHING: Final = Target(type=TargetType.AUDIT, id="*")


class Audit(Facade):
    """Read and verify what was done, by whom and why."""

    async def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target_type: str | None = None,
        target_id: str | None = None,
        outcome: str | None = None,
        actor_type: str | None = None,
        surface: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> list[AuditRecord]:
        """Records, newest first.

        Args:
            actor: Only of this actor's id.
            target_type: Only about this type of target, with ``target_id`` about this one.
            actor_type, surface: Only of this kind of actor; only through this door.
            since, until: Only from this instant on, before that one; aware.
            before: Only ids below this one: the last id of the previous page.
            limit: At most 1,000.
        """
        chosen = AuditFilter(
            actor=actor,
            action=action,
            target_type=target_type,
            target_id=target_id,
            outcome=outcome,
            actor_type=actor_type,
            surface=surface,
            since=since,
            until=until,
        )
        older, page = unless_none(as_id, "before", before), min(as_count("limit", limit), MOST)
        async with self._connect() as session:
            return await reading.list_records(session, chosen, before=older, limit=page)

    async def get(self, record_id: int | str) -> AuditRecord:
        """One record.

        Raises:
            AuditRecordNotFoundError: It does not exist, or retention has removed it.
        """
        key = as_id("record_id", record_id)
        async with self._connect() as session:
            record = await reading.find_record(session, key)
        if record is None:
            raise AuditRecordNotFoundError(key)
        return record

    async def verify(self, *, head: str | None = None) -> Verification:
        """Compare every record with its hash, and every seal with its records and the seal before.

        In bounded memory; records that are written meanwhile do not disturb it.

        Args:
            head: The head from an earlier verification or from the log: shows whether the chain was rewritten since.
        """
        async with self._connect() as session:
            return await verifying.verify(session, unless_none(as_key, "head", head))

    async def check(self, record_id: int | str | None = None) -> Verification:
        """Compare one record with its hash and its seal with all that it holds; without an id, the newest 1,000 so.

        Fast, whatever the size of the audit: what is older, and acts without a record, only ``verify`` finds.

        Raises:
            AuditRecordNotFoundError: It does not exist, or retention has removed it.
        """
        key = unless_none(as_id, "record_id", record_id)
        async with self._connect() as session:
            found = await verifying.verify_part(session, key)
        if found is None:
            raise AuditRecordNotFoundError(key or 0)
        return found

    async def export(
        self, *, actor: ActorLike, chosen: AuditFilter | None = None, source: str = "api"
    ) -> AsyncGenerator[str]:
        """Every record as a line of JSON, oldest first; the export itself is recorded before its first line.

        Args:
            chosen: Only these; None for all.

        Raises:
            UnattributedActorError, NotAuthorizedError: It was refused, and that is recorded.
        """
        chosen = AuditFilter() if chosen is None else _as_filter(chosen)
        conditions = {key: str(value) for key, value in asdict(chosen).items() if value is not None}
        operations = Operations(self._services)
        async with operations.begin(
            actor, Action.AUDIT_EXPORT, _EVERYTHING, source=source, details=conditions
        ) as operation:
            await operation.authorize()
            async with operation.transaction():
                pass
        async with self._connect() as session:
            upto = await reading.newest_id(session)
        after = 0
        while True:
            # No connection is held while the caller works on a page.
            async with self._connect() as session:
                page = await reading.next_records(session, chosen, after=after, upto=upto)
            if not page:
                return
            for row in page:
                yield orjson.dumps(row.to_dict()).decode()
            after = page[-1].id


def _as_filter(value: object) -> AuditFilter:
    if not isinstance(value, AuditFilter):
        raise refuse("chosen", value, "an AuditFilter")
    return value
