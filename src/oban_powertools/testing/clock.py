"""The clock of a test's database: what is due, and let time pass.

Time is not replaced: every stored instant is moved back (``clock.sql``), so the database, this process and the workers
agree on what is now.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any, Final

import psycopg

from ..config import Names
from ..database import Connection, fetch_all, fetch_one, render
from ..database.session_settings import configure
from ..states import WorkflowId
from .connections import LooselyPooled

_ASK: Final = {
    "due_queues": b"SELECT powertools_testing.due_queues() AS value",
    "due_in": b"SELECT powertools_testing.due_in() AS value",
    "let_pass": b"SELECT powertools_testing.let_pass(%(by)s::interval) AS value",
    "has_ended": b"SELECT powertools_testing.has_ended(%(id)s::bigint) AS value",
    "has_begun": b"SELECT powertools_testing.has_begun(%(id)s::bigint, %(step)s::text) AS value",
    "step_kinds": b"SELECT powertools_testing.step_kinds(%(id)s::bigint) AS value",
}
_IS_THERE: Final = b"SELECT to_regnamespace('powertools_testing') IS NOT NULL AS value"
_WAITS: Final = b"SELECT * FROM powertools_testing.open_waits(%(id)s::bigint)"
NEAREST: Final = timedelta(milliseconds=1)
"""So far beyond what is due does a jump go, because a clock has a grain."""


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
        self._pool = LooselyPooled(dsn, configure=self._prepare, autocommit=True)
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

    async def due_queues(self) -> Sequence[str]:
        """Queues with a job that may run now."""
        return await self._ask("due_queues")

    async def due_in(self) -> timedelta | None:
        """How long until something is due; None when nothing ever is."""
        return await self._ask("due_in")

    async def let_pass(self, by: timedelta) -> None:
        """Move every stored instant back."""
        await self.shift(by)
        self._jumped += by

    async def shift(self, by: timedelta) -> None:
        """Make what is stored older, or younger, which is no time that passes."""
        await self._ask("let_pass", by=by)

    async def has_ended(self, workflow_id: WorkflowId) -> bool | None:
        """Whether a workflow and what it nests have ended, with their callbacks; None when there is none."""
        return await self._ask("has_ended", id=workflow_id)

    async def has_begun(self, workflow_id: WorkflowId, step: str) -> bool | None:
        """Whether a step has run once, or waits; None when there is none."""
        return await self._ask("has_begun", id=workflow_id, step=step)

    async def step_kinds(self, workflow_id: WorkflowId) -> dict[str, str]:
        """The name of each step, also of what it nests -> what it runs on."""
        return await self._ask("step_kinds", id=workflow_id)

    async def open_waits(self, workflow_id: WorkflowId) -> list[dict[str, Any]]:
        """The waits of a workflow, and of what it nests, that no signal has ended yet."""
        async with self._pool.connection() as conn:
            return await fetch_all(conn, _WAITS, {"id": workflow_id})
