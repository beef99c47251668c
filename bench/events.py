"""The event log: what it costs, and how soon 200 subscribers see what happened while their listener is killed.

Run alone: ``python -m bench.events [--full]``. The subscribers are a process of their own, ``bench.followers``.
A server of yours (``BENCH_PG_URI``) needs ``track_commit_timestamp = on``.
"""

import asyncio
import json
import random
import time
from statistics import median
from typing import Final

import click

from bench.followers import EVERYTHING, ONE_WORKFLOW, following
from bench.server import WalMeter, fresh_database, scalar, server
from bench.shapes import WORKLOADS, chain
from bench.speed import Batch, ended, run_batch
from bench.worker import fleet
from oban_powertools import Powertools
from oban_powertools.database import Connection, connect

CHAINS: Final = 200
"""Workflows of one wave, of ten steps each: 2,000 steps."""

WITHOUT_LOG: Final = b"""
CREATE OR REPLACE FUNCTION powertools.write_events_v1(changes powertools.change[]) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE OR REPLACE FUNCTION powertools.write_ends(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE OR REPLACE FUNCTION powertools.defer_starts(starts powertools.change[]) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE OR REPLACE FUNCTION powertools.take_starts_v1(job_ids bigint[]) RETURNS powertools.change[]
LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
"""

COMPLETE_STEPS: Final = "SELECT pg_get_functiondef('powertools.complete_steps'::regproc)"
"""It writes events in the statement that does everything else; without the log that part has no rows."""

LISTENERS: Final = b"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND query ILIKE '%LISTEN%powertools.events%' AND pid <> pg_backend_pid()
"""


async def measure_cost(dsn: str, runs: int) -> None:
    """Print steps per second and WAL with the log and without, which take turns."""
    for name, build in WORKLOADS.items():
        batches: dict[bool, list[Batch]] = {True: [], False: []}
        for _ in range(runs):
            for logged in batches:
                async with (
                    fresh_database(dsn) as fresh,
                    await connect(fresh) as conn,
                    Powertools.open(fresh) as powertools,
                ):
                    if not logged:
                        await conn.execute(WITHOUT_LOG)
                        complete_steps = await scalar(conn, COMPLETE_STEPS, str)
                        assert "m.state <> 'pending'" in complete_steps
                        await conn.execute(complete_steps.replace("m.state <> 'pending'", "false").encode())
                    with fleet(fresh, limit=100) as workers:
                        batches[logged].append(await run_batch(powertools, conn, workers, build))
        rates = {logged: median(b.rate for b in of) for logged, of in batches.items()}
        ratios = [a.rate / b.rate for a, b in zip(batches[True], batches[False], strict=True)]
        wal = {logged: median(b.wal_bytes / b.steps for b in of) for logged, of in batches.items()}
        print(
            f"{name}  with the log {rates[True]:.0f} steps/s, without {rates[False]:.0f}: ratio {median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}); {wal[True]:.0f} and {wal[False]:.0f} B of WAL a step",
            flush=True,
        )


async def kill_listeners(conn: Connection, until: asyncio.Event) -> int:
    """Terminate whoever listens, every 1 to 5 seconds; how many were killed."""
    killed = 0
    while not until.is_set():
        await asyncio.sleep(random.uniform(1, 5))
        killed += len(await (await conn.execute(LISTENERS)).fetchall())
    return killed


async def waves(powertools: Powertools, conn: Connection, seconds: int) -> list[float]:
    """Submit 2,000 steps each second; how long each wave took until its last workflow had ended."""

    async def wave() -> float:
        started = time.perf_counter()
        handles = await powertools.workflows.insert_many([chain(10) for _ in range(CHAINS)])
        await ended(conn, [handle.id for handle in handles])
        return time.perf_counter() - started

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[float]] = []
        for second in range(seconds):
            await asyncio.sleep(max(0.0, begun + second - time.perf_counter()))
            tasks.append(group.create_task(wave()))
    return [task.result() for task in tasks]


async def measure_subscribers(dsn: str, seconds: int) -> None:
    """Print the lag of 200 subscribers at 2,000 steps/s with killed listeners, and what they cost the writers."""
    async with fresh_database(dsn) as fresh, await connect(fresh) as conn, Powertools.open(fresh) as powertools:
        with fleet(fresh, limit=100):
            await waves(powertools, conn, 3)
            begun, short = time.perf_counter(), max(5, seconds // 3)
            alone = await waves(powertools, conn, short)
            rate_alone = CHAINS * 10 * short / (time.perf_counter() - begun)
            enough = asyncio.Event()
            async with following(fresh) as followers, asyncio.TaskGroup() as group:
                killer = group.create_task(kill_listeners(conn, enough))
                begun, wal = time.perf_counter(), await WalMeter.begin(conn)
                followed = await waves(powertools, conn, seconds)
                rate, written = CHAINS * 10 * seconds / (time.perf_counter() - begun), await wal.read()
                enough.set()
                out, _ = await followers.communicate()
            seen = json.loads(out)
            head = await powertools.events.head()
            log = await scalar(conn, "SELECT sum(events)::bigint FROM powertools.event_batches", int)
            if not log == head == seen["head"]:
                raise RuntimeError(f"the log has {log} events, its head is {head}; seen were those to {seen['head']}")
    print(
        f"{EVERYTHING} subscribers of everything and {ONE_WORKFLOW} of one workflow after another "
        f"({seen['workflows']} in all) saw {seen['events']} events in order, none missing, with {killer.result()} "
        f"listeners killed\n"
        f"lag from the commit to the subscriber: median {seen['p50']:.0f} ms, p95 {seen['p95']:.0f} ms, "
        f"p99 {seen['p99']:.0f} ms, most {seen['most']:.0f} ms\n"
        f"at 2,000 steps/s offered: {rate_alone:.0f} without subscribers, {rate:.0f} with them: ratio "
        f"{rate / rate_alone:.2f}; {written / (CHAINS * 10 * seconds):.0f} B of WAL a step\n"
        f"a wave of {CHAINS * 10} steps took {median(alone):.2f} s without subscribers, {median(followed):.2f} s with "
        f"them, on the same cores: ratio {median(alone) / median(followed):.2f}",
        flush=True,
    )


@click.command()
@click.option("--full", is_flag=True, help="A minute with subscribers, five runs of each workload.")
def main(full: bool) -> None:
    """Measure the event log."""
    with server() as dsn:
        asyncio.run(measure_cost(dsn, runs=5 if full else 3))
        asyncio.run(measure_subscribers(dsn, 60 if full else 10))


if __name__ == "__main__":
    main()
