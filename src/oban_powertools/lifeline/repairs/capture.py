"""What a repair changes: done in a savepoint, read from the rows it wrote, and taken back.

The rule that must never break: whoever calls this holds the target's locks, and nothing of a rehearsal is left behind.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from ...database import Connection, Queries, fetch_all, fetch_one
from .plan import Key, Plan, Row, find_changes, find_effect
from .targets import Found

type Apply = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a repair would do."""

    plan: Plan
    """The rows it changes."""

    before: Mapping[Key, Row]
    """Every row that it writes, as it is: those too that stay the same."""


async def rehearse(
    conn: Connection, queries: Queries, found: Found, subject: Mapping[str, Any], apply: Apply
) -> Rehearsal:
    """The plan of a repair, by doing it and taking it back.

    Raises:
        CommandRefusedError, NotFoundError: The repair refused; nothing is left behind.
    """
    after: Mapping[Key, Row] = {}
    events: Mapping[str, int] = {}
    async with conn.transaction() as savepoint:
        after, events = await _observe(conn, queries, found, apply)
        raise psycopg.Rollback(savepoint)
    before = await read_rows(conn, queries, after)
    return Rehearsal(plan=_plan(subject, before, after, events), before=before)


async def perform(conn: Connection, queries: Queries, found: Found, expected: Rehearsal, apply: Apply) -> Plan:
    """Do a repair for good; the plan of what it did, beside what its rehearsal expected.

    Raises:
        CommandRefusedError, NotFoundError: The repair refused.
    """
    after, events = await _observe(conn, queries, found, apply)
    return _plan(expected.plan.subject, expected.before, after, events)


async def read_rows(conn: Connection, queries: Queries, keys: Iterable[Key]) -> Mapping[Key, Row]:
    """These rows as they are now; without those that do not exist."""
    asked = list(keys)
    args = {"sources": [source for source, _ in asked], "ids": [row_id for _, row_id in asked]}
    rows = await fetch_all(conn, queries["repair_before"], args) if asked else []
    return {(row["source"], row["id"]): row["content"] for row in rows}


async def _observe(
    conn: Connection, queries: Queries, found: Found, apply: Apply
) -> tuple[Mapping[Key, Row], Mapping[str, int]]:
    mark = await fetch_one(conn, queries["repair_mark"])
    assert mark is not None
    # A savepoint of its own: what it writes has a number that is given out after the mark.
    async with conn.transaction():
        await apply()
        late = [found.late["id"]] if found.late is not None else []
        args = {**mark, "roots": list(found.root_ids), "job_ids": found.job_ids, "late_ids": late}
        rows = await fetch_all(conn, queries["repair_after"], args)
        written = await fetch_all(conn, queries["repair_events"], args)
    # That a job started may be written down by whoever reads the log first, and is nothing that a repair does.
    events = Counter(row["change"] for row in written if row["change"] != "started")
    return {(row["source"], row["id"]): row["content"] for row in rows}, dict(sorted(events.items()))


def _plan(
    subject: Mapping[str, Any], before: Mapping[Key, Row], after: Mapping[Key, Row], events: Mapping[str, int]
) -> Plan:
    changes = find_changes(before, after)
    return Plan(subject=subject, changes=changes, effect=find_effect(changes, events))
