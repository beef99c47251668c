"""The clock of a test's database: what is due, and let time pass.

Time is not replaced: every stored instant is moved back (``clock.sql``), so the database, this process and the workers
agree on what is now.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any, Final

import psycopg

from ..config import Names
from ..database import Connection, fetch_all, fetch_one, record, render
from ..database.session_settings import configure
from ..states import WorkflowId
from .connections import LooselyPooled, Sessions

_ASK: Final = {
    "let_pass": b"SELECT powertools_testing.let_pass(%(by)s::interval) AS value",
    "step_kinds": b"SELECT powertools_testing.step_kinds(%(id)s::bigint) AS value",
}
_MOMENT: Final = b"SELECT * FROM powertools_testing.moment(%(id)s::bigint, %(step)s::text)"
_IS_THERE: Final = b"SELECT to_regprocedure('powertools_testing.moment(bigint, text)') IS NOT NULL AS value"
_WAITS: Final = b"SELECT * FROM powertools_testing.open_waits(%(id)s::bigint)"
NEAREST: Final = timedelta(milliseconds=1)
"""So far beyond what is due does a jump go, because a clock has a grain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is now."""

    queues: Sequence[str]
    """Queues with a job that may run."""

    staged: bool
    """Whether one of those is still to be made available: its time has come."""

    due_in: timedelta | None
    """How long until something is due; None when nothing ever is."""

    reached: bool | None
    """Whether what was asked for has happened; None when no job's turn is over yet, or there is no such workflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """Where a run is to get."""

    workflow_id: WorkflowId
    """The workflow that is to end, with what it nests and their callbacks."""

    step: str | None = None
    """Or this step of its is to have run once, or to wait."""


def clock_sql(names: Names) -> bytes:
    """What a database of tests needs beside the two schemas."""
    return render(files("oban_powertools.testing").joinpath("clock.sql").read_text("utf-8"), names)


class Clock:
    """Asks about time, and lets it pass.

    Args:
        dsn: The test's database.
        names: Of its schemas.
    """

    def __init__(self, dsn: str, names: Names) -> None:
        self._names = names
        # On a connection of its own, so that no other session is without triggers.
        self._pool = LooselyPooled(Sessions(dsn, configure=self._prepare), autocommit=True)
        self._jumped = timedelta(0)
        self._began_at = time.monotonic()

    def finish(self) -> None:
        """Close its connection."""
        self._pool.finish()

    @property
    def passed(self) -> timedelta:
        """How much time has passed since it was made, by the clock of the database."""
        return self._jumped + timedelta(seconds=time.monotonic() - self._began_at)

    async def _prepare(self, conn: Connection) -> None:
        await configure(conn)
        row = await fetch_one(conn, _IS_THERE)
        if row is not None and not row["value"]:
            await conn.execute(clock_sql(self._names))
        try:
            # Jobs that only grow older are no change to a workflow.
            await conn.execute("SET session_replication_role = replica")
        except psycopg.errors.InsufficientPrivilege:
            # Only a superuser may: the triggers then find that nothing has changed.
            return

    async def _ask(self, question: str, **args: Any) -> Any:
        async with self._pool.connection() as conn:
            row = await fetch_one(conn, _ASK[question], args)
        return row["value"] if row is not None else None

    async def look(self, awaited: Awaited | None = None) -> Moment:
        """What is now, and whether a run has got where it was to get."""
        args = {"id": awaited.workflow_id, "step": awaited.step} if awaited is not None else {"id": None, "step": None}
        async with self._pool.connection() as conn:
            row = await fetch_one(conn, _MOMENT, args)
        assert row is not None
        return record(Moment, row)

    async def let_pass(self, by: timedelta) -> None:
        """Move every stored instant back."""
        await self.shift(by)
        self._jumped += by

    async def shift(self, by: timedelta) -> None:
        """Make what is stored older, or younger, which is no time that passes."""
        await self._ask("let_pass", by=by)

    async def step_kinds(self, workflow_id: WorkflowId) -> dict[str, str]:
        """The name of each step, also of what it nests -> what it runs on."""
        return await self._ask("step_kinds", id=workflow_id)

    async def open_waits(self, workflow_id: WorkflowId) -> list[dict[str, Any]]:
        """The waits of a workflow, and of what it nests, that no signal has ended yet."""
        async with self._pool.connection() as conn:
            return await fetch_all(conn, _WAITS, {"id": workflow_id})
