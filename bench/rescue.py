"""How soon a step of a killed process runs again, and what heartbeats cost.

    python -m bench.rescue [--rounds N]

A process that runs a step is killed (SIGKILL): while another one of its host works beside it, or another is started in
its stead. Or it is stopped (SIGSTOP), which looks to the other as if it had been killed on another host. Measured by
the database's clock: from the signal to the start of the next attempt. Then beats of many executors, one statement
each time: milliseconds, and bytes of write-ahead log.
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from statistics import median
from typing import Final

import click
from oban import Job

from bench.server import WalMeter, fresh_database, scalar, server
from bench.worker import ROOT
from oban_powertools import Powertools, Settings, Workflow
from oban_powertools.database import Connection

SETTINGS: Final = {
    "tight": Settings(executor_gone_after=timedelta(seconds=1.5), sweep_every=timedelta(seconds=0.25)),
    "default": Settings(),
}
ENDS: Final = {
    "beside": "killed, another one works beside it",
    "again": "killed, and another one started",
    "afar": "stopped, as if on another host",
}
SLEEPING: Final = Settings(sweep_every=timedelta(hours=1))
EXECUTORS: Final = (1, 20, 1000)
BEATS: Final = 100
WATCHED: Final = """
SELECT count(*) = 2 AND bool_and(e.beating_since < clock_timestamp() - e.gone_after)
FROM powertools.executors e WHERE e.stopped_at IS NULL AND e.beat_at > clock_timestamp() - e.gone_after / 2
"""


async def measure(dsn: str, rounds: int, settings: Sequence[str] = tuple(SETTINGS)) -> None:
    """Print everything."""
    for name in settings:
        for how, words in ENDS.items():
            taken = sorted([await _seconds_to_run_again(dsn, name, how) for _ in range(rounds)])
            span = f"{median(taken):.1f} s later ({taken[0]:.1f} to {taken[-1]:.1f})"
            print(f"{name:<8} {words:<36} runs again {span}", flush=True)
    async with fresh_database(dsn) as fresh, Powertools.open(fresh, settings=SLEEPING) as powertools:
        for executors in EXECUTORS:
            print(await _cost_of_beats(powertools, executors), flush=True)


async def _seconds_to_run_again(dsn: str, name: str, how: str) -> float:
    async with fresh_database(dsn) as fresh, Powertools.open(fresh) as powertools, powertools.connect() as conn:
        with _worker(fresh, name) as victim:
            workflow = Workflow("killed")
            workflow.add("waits", Job("bench.steps.Wait", max_attempts=3))
            await powertools.workflows.insert(workflow)
            await _until(conn, "SELECT count(*) = 1 FROM oban_jobs WHERE state = 'executing'")
            with ExitStack() as successor:
                if how != "again":
                    successor.enter_context(_worker(fresh, name))
                    await _until(conn, WATCHED)
                killed_at = await scalar(conn, "SELECT clock_timestamp()", datetime)
                victim.send_signal(signal.SIGSTOP if how == "afar" else signal.SIGKILL)
                if how == "again":
                    successor.enter_context(_worker(fresh, name))
                await _until(conn, "SELECT count(*) = 1 FROM oban_jobs WHERE state = 'executing' AND attempt = 2")
                again_at = await scalar(conn, "SELECT attempted_at AT TIME ZONE 'UTC' FROM oban_jobs", datetime)
    return (again_at - killed_at).total_seconds()


async def _cost_of_beats(powertools: Powertools, executors: int) -> str:
    beats = [
        {"executor_id": f"app:oban:default:node-{n}:producer", "node": f"node-{n}", "producer_scope": "default"}
        for n in range(executors)
    ]
    await powertools.lifeline.refresh_heartbeats(beats)
    async with powertools.connect() as conn:
        wal = await WalMeter.begin(conn)
        taken: list[float] = []
        for _ in range(BEATS):
            started = time.perf_counter()
            await powertools.lifeline.refresh_heartbeats(beats)
            taken.append(1000 * (time.perf_counter() - started))
        written = await wal.read()
        size = await scalar(conn, "SELECT pg_total_relation_size('powertools.executors')", int)
    return (
        f"a beat of {executors:>4} executors: median {median(taken):.1f} ms, {written / BEATS / executors:,.0f} bytes "
        f"of WAL each; the table has {size / 1024:,.0f} KiB after {BEATS} beats"
    )


async def _until(conn: Connection, query: str) -> None:
    give_up_at = time.monotonic() + 120
    while not await scalar(conn, query, object):
        if time.monotonic() > give_up_at:
            raise TimeoutError(query)
        await asyncio.sleep(0.05)


@contextmanager
def _worker(dsn: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "bench.rescue", "--work-on", dsn, "--settings", name], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _work(dsn: str, settings: Settings) -> None:
    async with Powertools.open(dsn, queues={"default": 5}, settings=settings):
        await asyncio.Event().wait()


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Kills with each settings.")
@click.option("--work-on", hidden=True)
@click.option("--settings", "name", type=click.Choice([*SETTINGS]), default="default", hidden=True)
def main(rounds: int, work_on: str | None, name: str) -> None:
    """Measure rescue and heartbeats."""
    if work_on:
        asyncio.run(_work(work_on, SETTINGS[name]))
        return
    with server() as dsn:
        asyncio.run(measure(dsn, rounds))


if __name__ == "__main__":
    main()
