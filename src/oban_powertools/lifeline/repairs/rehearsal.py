"""Rehearse a repair, or perform it: both run the same function, only the end differs.

``rehearse`` runs it in a savepoint, reads the written rows and rolls back; ``perform`` runs it again and keeps it when
it wrote what was previewed. Runs in the caller's transaction. The rule that must never break: a rehearsal leaves
nothing behind, and nothing is kept that was not previewed.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from ...config import Settings
from ...database import Session, json_border
from ...errors import CommandRefusedError, NotFoundError, PreviewDriftedError
from .actions import Applier
from .drift import find_drift, find_moved
from .plan import VERSION, Key, Plan, Written, make_plan
from .previews import stored_changes
from .targets import Located, Repair, Row, find_locked

_MOST_TOLD: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a repair wrote."""

    rows: Mapping[Key, str]
    """The rows after the repair, as JSON."""

    events: Mapping[str, int]
    """Kind of event -> how many."""


async def rehearse(session: Session, settings: Settings, repair: Repair, located: Located) -> Plan:
    """Make the plan of a repair, by carrying it out and rolling it back.

    Raises:
        CommandRefusedError: It does not fit the target as it is; nothing is left behind.

    Locks: the caller holds the target; then as settle.
    """
    async with session.transaction() as savepoint:
        after = await _do(session, settings, repair, located)
        raise psycopg.Rollback(savepoint)
    before = await _read_rows(session, after.rows)
    return await _make_plan(repair, before, after)


async def perform(session: Session, settings: Settings, repair: Repair, stored: Row) -> Plan:
    """Carry out exactly what was previewed and keep it, or change nothing.

    Args:
        stored: The preview, which the caller has consumed.

    Raises:
        PreviewDriftedError: It would do something else now; says what.
        TargetMovedError: Roll back and begin again.

    Locks: the target's jobs by id, its families by id, then as settle.
    """
    written = await _read_promise(session, stored)
    try:
        located = await find_locked(session, repair)
        plan = await _perform(session, settings, repair, located, stored, find_existing(written))
        if plan is None:
            now = await rehearse(session, settings, repair, located)
            _refuse_drift(stored, written, now)
            # The same plan after all: it also writes rows, unchanged, that it did not write then.
            plan = await _perform(session, settings, repair, located, stored, find_existing(now.written))
    except PreviewDriftedError:
        raise
    except (CommandRefusedError, NotFoundError) as refusal:
        raise await _drift_of_refusal(session, stored, refusal) from refusal
    if plan is None:
        raise PreviewDriftedError(stored["id"], ["it does something else each time"])
    return plan


async def _perform(
    session: Session, settings: Settings, repair: Repair, located: Located, stored: Row, keys: Sequence[Key]
) -> Plan | None:
    """Carry it out; None when the plan is not the promised one, and then everything is rolled back."""
    before = await _read_rows(session, keys)
    async with session.transaction() as savepoint:
        after = await _do(session, settings, repair, located)
        # An existing row that was not expected looks new here: that makes another plan.
        plan = await _make_plan(repair, before, after)
        if plan.hash == stored["plan_hash"]:
            return plan
        raise psycopg.Rollback(savepoint)
    return None


async def _do(session: Session, settings: Settings, repair: Repair, located: Located) -> Observed:
    mark = await session.one("repair_mark")
    assert mark is not None
    # A savepoint of its own: the rows it writes have transaction numbers after the mark.
    async with session.transaction():
        await Applier(settings).apply(session, repair, located)
        late = [located.late["id"]] if located.late is not None else []
        args = {**mark, "roots": list(located.root_ids), "job_ids": located.job_ids, "late_ids": late}
        rows = await _read(session, "repair_after", args)
        written = await session.all("repair_events", args)
    # A reader of the log may write the start of a job; that is not an effect of the repair.
    return Observed(rows=rows, events={row["change"]: row["events"] for row in written if row["change"] != "started"})


async def _make_plan(repair: Repair, before: Mapping[Key, str], after: Observed) -> Plan:
    # 100,000 rows take a second; in a thread, so that other tasks go on.
    return await asyncio.to_thread(make_plan, repair.subject, before, after.rows, after.events)


def find_existing(written: Written) -> list[Key]:
    """The rows among these that exist before the repair; new rows are named by words, not ids."""
    return [(source, name) for source, rows in written.items() for name in rows if name[0].isdigit()]


async def _read_promise(session: Session, stored: Row) -> Written:
    row = await session.one("preview_rows", {"id": stored["id"]})
    assert row is not None
    return row["written"]


async def _read_rows(session: Session, keys: Iterable[Key]) -> Mapping[Key, str]:
    """Read these rows as JSON, without those that do not exist."""
    pairs = list(keys)
    args = {"sources": [source for source, _ in pairs], "ids": [row_id for _, row_id in pairs]}
    return await _read(session, "repair_before", args) if pairs else {}


async def _read(session: Session, query: str, args: Mapping[str, Any]) -> dict[Key, str]:
    async with session.conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(session.queries[query], args)
        return {(source, row_id): content for source, row_id, content in await cursor.fetchall()}


def _refuse_drift(stored: Row, written: Written, now: Plan) -> None:
    if now.hash == stored["plan_hash"]:
        return
    if stored["plan"]["version"] != VERSION:
        raise PreviewDriftedError(stored["id"], ["it was made by another release"])
    differences = find_drift(stored_changes(stored["plan"]), written, now)
    more = [f"and {len(differences) - _MOST_TOLD} differences more"] if len(differences) > _MOST_TOLD else []
    raise PreviewDriftedError(stored["id"], [*differences[:_MOST_TOLD], *more])


async def _drift_of_refusal(
    session: Session, stored: Row, refusal: CommandRefusedError | NotFoundError
) -> PreviewDriftedError:
    changes = stored_changes(stored["plan"])
    now = await _read_rows(session, [(c.source, c.id) for c in changes if c.before is not None])
    rows = {key: json_border.loads(row) for key, row in now.items()}
    return PreviewDriftedError(stored["id"], [str(refusal), *find_moved(changes, rows)[:_MOST_TOLD]])
