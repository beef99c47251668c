"""Retention on many rows: how fast, how long anything is locked, what becomes of the tables.

    python -m bench.retention [--rows N]

Half of the workflows (of 10 steps, each with its last event) ended 60 days ago, half just now. The old half is pruned
and archived, while another connection inserts a workflow of 10 steps every 20 ms and a third watches how long anybody
waits for a lock.
"""

import asyncio
import time

import click

from bench.server import fresh_database, scalar, server
from bench.shapes import chain
from oban_powertools import Powertools
from oban_powertools.calls import open_calls
from oban_powertools.database import Connection, connect
from oban_powertools.operators.authorization import AllowAll

ROWS_A_WORKFLOW = 12
FILL = """
SET session_replication_role = replica;
INSERT INTO powertools.workflows (id, name, total, open, state, root_id, inserted_at, finished_at)
OVERRIDING SYSTEM VALUE
SELECT n, 'bench', 10, 0, 'completed', n, now() - age, now() - age
FROM (
  SELECT n, CASE WHEN n <= {base} + {old} THEN interval '60 days' ELSE interval '0' END AS age
  FROM generate_series({base} + 1, {base} + {workflows}) AS n
) AS w;
INSERT INTO powertools.steps (
  workflow_id, position, pending, depth, name, worker, queue, args, state, result, attempt, job_id, started_at,
  finished_at
)
SELECT w.id, p, 0, p, 's' || p, 'bench.steps.nothing', 'default', '{{"account": 42}}', 'completed', '{{"ok": true}}', 1,
  w.id * 10 + p, w.finished_at, w.finished_at
FROM powertools.workflows w CROSS JOIN generate_series(0, 9) AS p
WHERE w.id > {base} AND w.name = 'bench';
INSERT INTO powertools.events (workflow_id, number, batch_id, place, change, state, generation, failed_steps)
SELECT w.id, 31, 0, 1, 'finished', 'completed', 1, '{{}}' FROM powertools.workflows w
WHERE w.id > {base} AND w.name = 'bench';
SELECT setval('powertools.workflows_id_seq', greatest({workflows}, nextval('powertools.workflows_id_seq')));
SET session_replication_role = origin
"""
SIZE = """
SELECT sum(pg_total_relation_size(c))::bigint
FROM unnest('{powertools.workflows,powertools.steps,powertools.events}'::regclass[]) AS c
"""
WAITING = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.state_change)), 0)::float8
FROM pg_stat_activity a WHERE a.wait_event_type = 'Lock' AND a.datname = current_database()
"""


async def measure(dsn: str, rows: int) -> None:
    """Print what one run over so many rows takes."""
    async with fresh_database(dsn) as fresh, await connect(fresh) as conn:
        await conn.execute(b"SET statement_timeout = 0")
        workflows = rows // ROWS_A_WORKFLOW
        started = time.perf_counter()
        await conn.execute(FILL.format(workflows=workflows, old=workflows // 2, base=0).encode())
        await conn.execute(b"VACUUM ANALYZE")
        print(f"{rows:,} rows filled in {time.perf_counter() - started:.0f} s: {await _size(conn)}", flush=True)
        async with Powertools.open(fresh) as powertools:
            _tell("inserts alone", await _inserts(powertools, asyncio.create_task(asyncio.sleep(5))))
            pruning = asyncio.create_task(_prune(conn))
            beside, waited = await asyncio.gather(_inserts(powertools, pruning), _longest_wait(fresh, pruning))
        pruned, seconds, longest = pruning.result()
        print(
            f"pruned {pruned:,} rows in {seconds:.1f} s: {pruned / seconds:,.0f} rows/s; longest batch {longest:.0f} ms"
        )
        _tell("inserts beside it", beside)
        print(f"longest wait for a lock that was seen: {waited:.1f} ms")
        archived = await scalar(conn, "SELECT pg_size_pretty(pg_total_relation_size('powertools.archive'))", str)
        print(f"after it {await _size(conn)}, and {archived} of archive", flush=True)
        await conn.execute(b"VACUUM powertools.workflows, powertools.steps, powertools.events")
        await conn.execute(FILL.format(workflows=workflows // 2, old=0, base=1_000_000_000).encode())
        print(f"vacuumed, and filled again with as many: {await _size(conn)}")


def _tell(what: str, took: tuple[float, float, float]) -> None:
    median, high, longest = took
    print(f"{what}: median {median:.1f} ms, p99 {high:.1f} ms, longest {longest:.1f} ms", flush=True)


async def _prune(conn: Connection) -> tuple[int, float, float]:
    """Rows, seconds, and the longest batch in ms."""
    async with open_calls(conn, authorize=AllowAll()) as calls:
        started = time.perf_counter()
        run = await calls.lifeline.run_archive_prune("bench", reason="measured")
    seconds = time.perf_counter() - started
    longest = await scalar(
        conn,
        "SELECT (1000 * max(extract(epoch FROM d)))::float8 FROM ("
        "SELECT archived_at - lag(archived_at) OVER (ORDER BY archived_at) AS d FROM powertools.archive) AS b",
        float,
    )
    assert run.outcome == "done", run.error
    return sum(run.pruned.values()), seconds, longest


async def _inserts(powertools: Powertools, until: asyncio.Task[object]) -> tuple[float, float, float]:
    """Median, 99th percentile and longest of the time that an insert takes, in ms."""
    took: list[float] = []
    while not until.done():
        started = time.perf_counter()
        await powertools.workflows.insert(chain(10))
        took.append(1000 * (time.perf_counter() - started))
        await asyncio.sleep(0.02)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100], took[-1]


async def _longest_wait(dsn: str, until: asyncio.Task[object]) -> float:
    """The longest that anybody was seen to wait for a lock, in ms."""
    longest = 0.0
    async with await connect(dsn) as conn:
        while not until.done():
            longest = max(longest, await scalar(conn, WAITING, float))
            await asyncio.sleep(0.005)
    return 1000 * longest


async def _size(conn: Connection) -> str:
    return f"{await scalar(conn, SIZE, int) / 2**20:,.0f} MiB"


@click.command()
@click.option("--rows", default=600_000, show_default=True, help="Of workflows, steps and events.")
def main(rows: int) -> None:
    """Measure retention."""
    with server() as dsn:
        asyncio.run(measure(dsn, rows))


if __name__ == "__main__":
    main()
