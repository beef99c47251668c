"""Places where a transaction or a step waits until the test lets it go on: advisory locks, no sleeps.

A barrier in the database is a trigger of the test's own that waits for an advisory lock inside somebody's
transaction, so that a process can be killed, or its backend ended, at exactly that point.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, Self

from psycopg import AsyncConnection
from psycopg.rows import class_row

from tests.support.ledger import eventually

POINTS = {
    "fetch": "BEFORE UPDATE ON public.oban_jobs FOR EACH ROW WHEN (NEW.state = 'executing')",
    "ack": "BEFORE UPDATE ON public.oban_jobs FOR EACH ROW WHEN (NEW.state IN ('completed', 'discarded'))",
    "step ended": "BEFORE UPDATE ON powertools.steps FOR EACH ROW WHEN (NEW.state IN ('completed', 'discarded'))",
    "cascade": "AFTER UPDATE ON powertools.steps FOR EACH ROW WHEN (NEW.cause = 'cancelled_by_dependency')",
    "child released": "AFTER UPDATE ON powertools.steps FOR EACH ROW WHEN (OLD.job_id IS NULL AND NEW.job_id > 0)",
    "child inserted": "AFTER INSERT ON public.oban_jobs FOR EACH ROW WHEN (NEW.meta ? 'position')",
    "workflow counted": "BEFORE UPDATE ON powertools.workflows FOR EACH ROW WHEN (OLD.open > NEW.open)",
    "failures judged": "AFTER UPDATE ON powertools.workflows FOR EACH ROW WHEN (NEW.failures_handled IS NOT NULL)",
    "callback inserted": "AFTER INSERT ON public.oban_jobs FOR EACH ROW WHEN (NEW.meta ? 'outcome')",
    "step b ended": "BEFORE UPDATE ON powertools.steps FOR EACH ROW WHEN (NEW.state = 'completed' AND NEW.name = 'b')",
    "audited": "BEFORE INSERT ON powertools.audit FOR EACH ROW WHEN (NEW.outcome = 'executed')",
    "commanded": "AFTER INSERT ON powertools.audit FOR EACH ROW WHEN (NEW.workflow_id IS NOT NULL)",
    "second workflow": "BEFORE INSERT ON powertools.workflows FOR EACH ROW WHEN ('second' = ANY (NEW.tags))",
}
"""The fetch; an ack from its first change to its last, in the order in which settle reaches them; others."""

AT_COMMIT = "AFTER UPDATE ON powertools.workflows DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
"""The last moment: all is written, COMMIT is under way."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A backend before a gate."""

    pid: int
    since: datetime


class Gate:
    """An advisory lock: closed while the test holds it."""

    def __init__(self, conn: AsyncConnection[Any], number: int) -> None:
        self._conn = conn
        self.number = number

    @classmethod
    @asynccontextmanager
    async def closed(cls, dsn: str, number: int = 1001) -> AsyncIterator[Self]:
        async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
            gate = cls(conn, number)
            await gate.close()
            yield gate

    async def close(self) -> None:
        await self._conn.execute("SELECT pg_advisory_lock(%s)", (self.number,))

    async def open(self) -> None:
        await self._conn.execute("SELECT pg_advisory_unlock(%s)", (self.number,))

    async def waiting(self, *, times: int = 1, since: datetime | None = None, within: float = 10) -> list[Waiting]:
        """Wait until so many backends stand before it, come after ``since``."""

        async def backends() -> list[Waiting]:
            async with self._conn.cursor(row_factory=class_row(Waiting)) as cursor:
                await cursor.execute(
                    "SELECT pid, waitstart AS since FROM pg_locks"
                    " WHERE locktype = 'advisory' AND objid = %(number)s AND NOT granted"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                    " AND waitstart > coalesce(%(since)s::timestamptz, '-infinity')",
                    {"number": self.number, "since": since},
                )
                found = await cursor.fetchall()
            return found if len(found) >= times else []

        return await eventually(backends, within=within)


class Barrier(Gate):
    """A gate inside other sessions' transactions, at one point of ``POINTS``; closed at first."""

    @classmethod
    @asynccontextmanager
    async def at(cls, dsn: str, point: str) -> AsyncIterator[Self]:
        constraint, definition = ("CONSTRAINT", AT_COMMIT) if point == "commit" else ("", POINTS[point])
        async with cls.closed(dsn, 9999) as barrier:
            await barrier._conn.execute(
                f"""
                CREATE FUNCTION barrier() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                  PERFORM pg_advisory_xact_lock_shared({barrier.number});
                  RETURN NEW;
                END $$;
                CREATE {constraint} TRIGGER barrier {definition} EXECUTE FUNCTION barrier()
            """.encode()
            )
            yield barrier

    async def terminate(self) -> None:
        """End the backend that waits, as a crash or an administrator does, and wait for the next one."""
        await self._interrupt("SELECT pg_terminate_backend(%s)")

    async def cancel(self) -> None:
        """Cancel the statement that waits, as a statement timeout does, and wait for the next one."""
        await self._interrupt("SELECT pg_cancel_backend(%s)")

    async def _interrupt(self, statement: LiteralString) -> None:
        [backend] = await self.waiting()
        await self._conn.execute(statement, (backend.pid,))
        await self.waiting(since=backend.since)


@asynccontextmanager
async def broken_settle(dsn: str) -> AsyncIterator[None]:
    """While inside, no step whose name begins with ``faulty`` can be settled."""
    async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken on purpose'; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON powertools.steps FOR EACH ROW
            WHEN (OLD.state = 'available' AND NEW.name LIKE 'faulty%') EXECUTE FUNCTION refuse()
        """)
        yield
        await conn.execute("DROP FUNCTION refuse CASCADE")
