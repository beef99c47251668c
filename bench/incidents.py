"""How long a projection of incidents takes: 1,000,000 steps in 100,000 open workflows, and 10,000 failures.

Run it alone: ``python -m bench.incidents [WORKFLOWS]``. It prints the times of 25 projections, one after the other.
"""

import asyncio
import sys
import time
from typing import Final

import psycopg

from bench.server import fresh_database, server
from oban_powertools import Settings
from oban_powertools.config import Names
from oban_powertools.database import Connection, Queries, Session
from oban_powertools.lifeline.incidents import Projector

STEPS: Final = 10
"""Steps of each workflow."""

FILL: Final = (
    """
    INSERT INTO powertools.workflows (id, total, open, name, root_id)
    OVERRIDING SYSTEM VALUE SELECT n, 10, 10, 'bench', n FROM generate_series(1, {workflows}) AS n
    """,
    """
    INSERT INTO oban_jobs (id, state, queue, worker, args, meta, attempt, attempted_at, attempted_by)
    OVERRIDING SYSTEM VALUE
    SELECT n, (CASE n % 10 WHEN 0 THEN 'executing' WHEN 1 THEN 'retryable' ELSE 'available' END)::oban_job_state,
      'default', 'app.Work', '{{}}', jsonb_build_object('workflow_id', n, 'position', 0),
      (n % 10 < 2)::int, timezone('UTC', now()), '{{node-a,p1}}'
    FROM generate_series(1, {workflows}) AS n
    """,
    "ALTER TABLE powertools.steps DISABLE TRIGGER USER",
    """
    INSERT INTO powertools.steps (
      workflow_id, position, pending, state, job_id, depth, name, worker, queue, args, parents, children
    )
    SELECT n, p, (p > 0)::int, CASE p WHEN 0 THEN 'available' ELSE 'pending' END, CASE p WHEN 0 THEN n END, p, 's' || p,
      'app.Work', 'default', '{{}}', CASE p WHEN 0 THEN '{{}}' ELSE ARRAY[p - 1] END,
      CASE p WHEN 9 THEN '{{}}' ELSE ARRAY[p + 1] END
    FROM generate_series(1, {workflows}) AS n CROSS JOIN generate_series(0, 9) AS p
    """,
    "ALTER TABLE powertools.steps ENABLE TRIGGER USER",
    """
    INSERT INTO powertools.executors (
      executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after
    ) VALUES ('p1', 'node-a', 'p1', 'default', now(), now() + interval '1 h', now() + interval '1 h', now(), '2 h')
    """,
    """
    INSERT INTO oban_jobs (id, state, queue, worker, args, meta, errors, attempt, discarded_at)
    OVERRIDING SYSTEM VALUE
    SELECT {workflows} + n, 'discarded', 'default', 'app.Bill' || n % 10, '{{}}', '{{}}',
      jsonb_build_array(jsonb_build_object('error', 'ValueError: ' || repeat('x', 2000))), 1, timezone('UTC', now())
    FROM generate_series(1, {workflows} / 10) AS n
    """,
    "ANALYZE",
)
"""What is stored, in order."""


async def fill(conn: Connection, workflows: int) -> None:
    """Store so many open workflows of ten steps, a tenth executing, a tenth retrying; and failures of ten workers."""
    await conn.execute("SET statement_timeout = 0")
    for statement in FILL:
        await conn.execute(statement.format(workflows=workflows).encode())


async def measure(conn: Connection, rounds: int) -> list[float]:
    """Milliseconds of each projection."""
    projector = Projector(Settings())
    taken: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await projector.project(Session(conn, Queries(Names())))
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def main(workflows: int) -> None:
    """Fill a database of its own, project, and print."""
    with server() as root:
        async with fresh_database(root) as dsn, await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            await fill(conn, workflows)
            taken = await measure(conn, 25)
            cursor = await conn.execute("SELECT class, count(*) FROM powertools.incidents GROUP BY 1")
            print(f"{workflows:,} open workflows, {workflows * STEPS:,} steps: ", end="")
            print(
                f"median {sorted(taken)[len(taken) // 2]:.0f} ms, longest {max(taken):.0f} ms", await cursor.fetchall()
            )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
