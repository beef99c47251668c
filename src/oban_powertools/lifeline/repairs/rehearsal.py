"""Carry out a repair and make its plan from the rows that it wrote: a preview takes it back, an execution keeps it.

Runs in the caller's transaction. The rule that must never break: a preview leaves nothing behind (repairs/P1), and an
execution keeps nothing that was not previewed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from ...config import Settings
from ...database import Session, json_border
from ...driving import in_thread
from ...errors import CommandRefusedError, NotFoundError, PreviewDriftedError
from .actions import Applier
from .drift import Promise, refuse_drift, refuse_moved
from .plan import Plan, RowKey, Written, make_plan
from .targets import Located, Repair, find_locked


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a repair wrote."""

    rows: Mapping[RowKey, str]
    """The rows after the repair, as JSON."""

    events: Mapping[str, int]
    """Kind of event -> how many."""


async def carry_out(
    session: Session, settings: Settings, repair: Repair, promise: Promise | None = None
) -> tuple[Located, Plan]:
    """Lock the target of a repair, do what it does, and make the plan of it; keep it when it is what was promised.

    Args:
        promise: What a preview has promised and an execution is to do, which keeps exactly that. None for a preview,
            which keeps nothing.

    Raises:
        CommandRefusedError, NotFoundError: Of a preview: it does not fit the target as it is.
        PreviewDriftedError: Of an execution: it would do something else now; says what. Nothing is kept.
        TargetMovedError: Roll back and begin again.

    Locks: the target's jobs by id, its families by id, then as settle.
    """
    if promise is None:
        located = await find_locked(session, repair)
        plan, _ = await _carry_out(session, settings, repair, located)
        return located, plan
    try:
        located = await find_locked(session, repair)
        plan, kept = await _carry_out(session, settings, repair, located, promise)
        if not kept and plan.hash == promise.plan_hash:
            # The same plan after all: it also writes rows, unchanged, that it did not write then.
            again = replace(promise, written=plan.written)
            plan, kept = await _carry_out(session, settings, repair, located, again)
    except (CommandRefusedError, NotFoundError) as refusal:
        raise await _refuse_moved(session, promise, refusal) from refusal
    if not kept:
        raise refuse_drift(promise, plan)
    return located, plan


async def _carry_out(
    session: Session, settings: Settings, repair: Repair, located: Located, promise: Promise | None = None
) -> tuple[Plan, bool]:
    """Do it in a savepoint; returns its plan, and whether it is the promised one and was kept."""
    before = await read_rows(session, [] if promise is None else find_existing(promise.written))
    async with session.transaction() as savepoint:
        after = await _do(session, settings, repair, located)
        if promise is not None:
            # An existing row that was not expected looks new here: that makes another plan.
            plan = await _make_plan(repair, before, after)
            if plan.hash == promise.plan_hash:
                return plan, True
        raise psycopg.Rollback(savepoint)
    before = await read_rows(session, after.rows)
    return await _make_plan(repair, before, after), False


async def _do(session: Session, settings: Settings, repair: Repair, located: Located) -> Observed:
    mark = await session.one("repair_mark")
    assert mark is not None
    # A savepoint of its own: the rows it writes have transaction numbers after the mark.
    async with session.transaction():
        await Applier(settings).apply(session, repair, located)
        late = [located.late["id"]] if located.late is not None else []
        signals = [located.signal["id"]] if located.signal is not None else []
        args = {
            **mark,
            "roots": list(located.root_ids),
            "job_ids": located.job_ids,
            "late_ids": late,
            "signal_ids": signals,
        }
        rows = await _read(session, "repair_after", args)
        written = await session.all("repair_events", args)
    # A reader of the log may write the start of a job; that is not an effect of the repair.
    return Observed(rows=rows, events={row["change"]: row["events"] for row in written if row["change"] != "started"})


async def _make_plan(repair: Repair, before: Mapping[RowKey, str], after: Observed) -> Plan:
    # 100,000 rows take a second; in a thread, so that other tasks go on.
    return await in_thread(lambda: make_plan(repair.subject, before, after.rows, after.events))


def find_existing(written: Written) -> list[RowKey]:
    """The rows among these that exist before the repair; new rows are named by words, not ids."""
    return [(source, name) for source, rows in written.items() for name in rows if name[0].isdigit()]


async def read_rows(session: Session, keys: Iterable[RowKey]) -> Mapping[RowKey, str]:
    """Read these rows as JSON, without those that do not exist."""
    pairs = list(keys)
    args = {"sources": [source for source, _ in pairs], "ids": [row_id for _, row_id in pairs]}
    return await _read(session, "repair_before", args) if pairs else {}


async def _read(session: Session, query: str, args: Mapping[str, Any]) -> dict[RowKey, str]:
    async with session.conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(session.queries[query], args)
        return {(source, row_id): content for source, row_id, content in await cursor.fetchall()}


async def _refuse_moved(
    session: Session, promise: Promise, refusal: CommandRefusedError | NotFoundError
) -> PreviewDriftedError:
    rows = await read_rows(session, [(c.source, c.id) for c in promise.changes if c.before is not None])
    return refuse_moved(promise, refusal, {key: json_border.loads(row) for key, row in rows.items()})
