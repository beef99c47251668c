"""What step code really did, on an autocommit connection of its own: no rollback takes an entry back.

The only way to tell "ran twice, recorded once" from "ran once". Workers write, tests read. A gate holds steps in
the middle of their code for as long as a test wants.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row

from oban_powertools import current_step

LEDGER_DSN = "LEDGER_DSN"
"""The environment variable that tells worker processes where the ledger is."""

TABLE = """
CREATE TABLE ledger (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workflow_id bigint NOT NULL,
  step text NOT NULL,
  attempt int NOT NULL,
  generation int NOT NULL,
  key text NOT NULL,
  pid int NOT NULL,
  phase text NOT NULL
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: a step's code reached a phase."""

    workflow_id: int
    step: str
    attempt: int
    generation: int
    key: str
    pid: int
    phase: str


def write(phase: str) -> None:
    """Called by step code: it is here now."""
    step = current_step()
    _connection().execute(
        "INSERT INTO ledger (workflow_id, step, attempt, generation, key, pid, phase)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (step.workflow_id, step.step, step.attempt, step.generation, step.idempotency_key, os.getpid(), phase),
    )


async def pass_gate(gate: int) -> None:
    """Called by step code: go on as soon as the gate is open."""
    async with await AsyncConnection.connect(os.environ[LEDGER_DSN], autocommit=True) as conn:
        await conn.execute("SELECT pg_advisory_lock_shared(%s)", (gate,))


@cache
def _connection() -> psycopg.Connection[Any]:
    return psycopg.connect(os.environ[LEDGER_DSN], autocommit=True)


class Ledger:
    """The test's side: reads what the workers wrote."""

    def __init__(self, conn: AsyncConnection[Any]) -> None:
        self._conn = conn

    @classmethod
    @asynccontextmanager
    async def create(cls, dsn: str) -> AsyncIterator["Ledger"]:
        """An empty ledger in this database."""
        async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
            await conn.execute(TABLE)
            yield cls(conn)

    async def entries(self, step: str | None = None, *, phase: str = "start") -> list[Entry]:
        """What was written, oldest first; of all steps or of those with this name."""
        async with self._conn.cursor(row_factory=class_row(Entry)) as cursor:
            await cursor.execute(
                "SELECT workflow_id, step, attempt, generation, key, pid, phase FROM ledger"
                " WHERE phase = %s AND (%s::text IS NULL OR step = %s) ORDER BY id",
                (phase, step, step),
            )
            return await cursor.fetchall()

    async def keys(self) -> dict[str, set[tuple[int, str]]]:
        """Idempotency key -> the steps that ran with it, each (workflow id, step)."""
        keys: dict[str, set[tuple[int, str]]] = {}
        for entry in await self.entries():
            keys.setdefault(entry.key, set()).add((entry.workflow_id, entry.step))
        return keys

    async def until_count(self, count: int, *, within: float = 20) -> None:
        """Wait until steps were started so often, all together."""

        async def reached() -> bool:
            cursor = await self._conn.execute("SELECT count(*) >= %s FROM ledger WHERE phase = 'start'", (count,))
            [answer] = await cursor.fetchone() or (False,)
            return answer

        await eventually(reached, within=within)

    async def runs(self) -> Counter[tuple[int, str]]:
        """(workflow id, step) -> how often its code was started."""
        return Counter((entry.workflow_id, entry.step) for entry in await self.entries())

    async def until(self, step: str, *, phase: str = "start", times: int = 1, within: float = 10) -> list[Entry]:
        """Wait until the step has reached the phase that often."""

        async def reached() -> list[Entry]:
            entries = await self.entries(step, phase=phase)
            return entries if len(entries) >= times else []

        return await eventually(reached, within=within)


async def eventually[T](check: Callable[[], Awaitable[T]], *, within: float = 10) -> T:
    """Ask until the answer is true; seconds."""
    deadline = time.monotonic() + within
    while not (answer := await check()):
        assert time.monotonic() < deadline, f"still {answer!r} after {within} s"
        await asyncio.sleep(0.01)
    return answer
