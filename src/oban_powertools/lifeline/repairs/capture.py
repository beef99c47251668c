"""What a repair changes: done in a savepoint, read from the rows it wrote, and taken back.

The rule that must never break: whoever calls this holds the target's locks, and nothing of a rehearsal is left behind.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from ...database import Session
from .plan import Key, Plan, make_plan
from .targets import Found

type Apply = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a repair is to do."""

    plan_hash: str
    """Of its plan."""

    rows: Sequence[Key]
    """The rows that are there and that it writes."""


async def rehearse(session: Session, found: Found, subject: Mapping[str, Any], apply: Apply) -> Plan:
    """The plan of a repair, by doing it and taking it back.

    Raises:
        CommandRefusedError, NotFoundError: The repair refused; nothing is left behind.
    """
    after: Mapping[Key, str] = {}
    events: Mapping[str, int] = {}
    async with session.transaction() as savepoint:
        after, events = await _observe(session, found, apply)
        raise psycopg.Rollback(savepoint)
    before = await read_rows(session, after)
    return await asyncio.to_thread(make_plan, subject, before, after, events)


async def perform(
    session: Session, found: Found, subject: Mapping[str, Any], expected: Expected, apply: Apply
) -> Plan | None:
    """Do a repair for good, if it does what is expected; else None, and nothing is left behind.

    Raises:
        CommandRefusedError, NotFoundError: The repair refused; nothing is left behind.
    """
    before = await read_rows(session, expected.rows)
    async with session.transaction() as savepoint:
        after, events = await _observe(session, found, apply)
        # A row that is there and not expected passes for a new one here: that is another plan.
        plan = await asyncio.to_thread(make_plan, subject, before, after, events)
        if plan.hash == expected.plan_hash:
            return plan
        raise psycopg.Rollback(savepoint)
    return None


async def read_rows(session: Session, keys: Iterable[Key]) -> Mapping[Key, str]:
    """These rows as they are now, as JSON; without those that do not exist."""
    asked = list(keys)
    args = {"sources": [source for source, _ in asked], "ids": [row_id for _, row_id in asked]}
    return await _read(session, "repair_before", args) if asked else {}


async def _observe(session: Session, found: Found, apply: Apply) -> tuple[Mapping[Key, str], Mapping[str, int]]:
    mark = await session.one("repair_mark")
    assert mark is not None
    # A savepoint of its own: what it writes has a number that is given out after the mark.
    async with session.transaction():
        await apply()
        late = [found.late["id"]] if found.late is not None else []
        args = {**mark, "roots": list(found.root_ids), "job_ids": found.job_ids, "late_ids": late}
        after = await _read(session, "repair_after", args)
        written = await session.all("repair_events", args)
    # That a job started may be written down by whoever reads the log first, and is nothing that a repair does.
    return after, {row["change"]: row["events"] for row in written if row["change"] != "started"}


async def _read(session: Session, query: str, args: Mapping[str, Any]) -> dict[Key, str]:
    async with session.conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(session.queries[query], args)
        return {(source, row_id): content for source, row_id, content in await cursor.fetchall()}
