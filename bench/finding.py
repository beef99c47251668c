"""Lists and searches over 1,000,000 workflows: milliseconds each, at the server and for the caller.

    python -m bench.finding [--workflows N]

1 of 100 workflows is under way: it waits for a signal, has a job that runs, is to be tried again, is ready, or stands
in a queue that nobody serves. 1 of 100 failed. Beside them as many plain jobs, 100,000 stored signals, 200,000 records
of the audit, 5,000 incidents and 200 executors. Each search must take less than 50 ms at the server.
"""

import asyncio
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from psycopg.errors import Diagnostic

from bench.server import fresh_database, server
from oban_powertools import Calls, JobId, WorkflowId, open_calls
from oban_powertools.database import Connection, connect

WITHIN: Final = 50.0
"""Milliseconds a page, at the server."""

RUNS: Final = 9

GENERATE: Final = Path(__file__).with_suffix(".sql")


def searches(workflows: int) -> dict[str, dict[str, Any]]:
    """What is searched for, by what a person would say."""
    middle = datetime.now(UTC) - timedelta(days=15)
    return {
        "all": {},
        "older than the middle": {"before": workflows // 2},
        "state failed": {"state": "failed"},
        "state running": {"state": "running"},
        "Needs Review": {"status": "Needs Review"},
        "Blocked": {"status": "Blocked"},
        "Waiting": {"status": "Waiting"},
        "Runnable": {"status": "Runnable"},
        "Running": {"status": "Running"},
        "Finished": {"status": "Finished"},
        "name": {"name": "flow7"},
        "no such name": {"name": "none"},
        "idempotency key": {"idempotency_key": f"key-{workflows // 3}"},
        "tag": {"tag": "vip"},
        "a rare context field": {"context": {"account_id": workflows // 7}},
        "a common context field": {"context": {"region": "eu"}},
        "no such context field": {"context": {"account_id": -1}},
        "rare worker": {"worker": "app.Rare"},
        "common worker": {"worker": "app.Fetch"},
        "common worker that failed": {"worker": "app.Fetch", "state": "failed"},
        "rare step": {"step": "rare"},
        "error text": {"error": f"no account {workflows // 100 * 50 + 1}"},
        "error text of a retry": {"error": "no route to billing"},
        "inserted in an hour": {"inserted_from": middle, "inserted_to": middle + timedelta(hours=1)},
        "inserted before": {"inserted_to": middle},
        "failed in an hour": {"state": "failed", "finished_from": middle, "finished_to": middle + timedelta(hours=1)},
        "Blocked of a name": {"status": "Blocked", "name": "flow0"},
    }


def lists(workflows: int) -> dict[str, Callable[[Calls], Awaitable[Any]]]:
    """Every other list."""
    middle = datetime.now(UTC) - timedelta(days=15)
    return {
        "jobs": lambda calls: calls.jobs.list(),
        "jobs executing": lambda calls: calls.jobs.list(state="executing"),
        "jobs to be retried": lambda calls: calls.jobs.list(state="retryable", error="route billing"),
        "jobs of a queue": lambda calls: calls.jobs.list(queue="deserted"),
        "jobs of a worker": lambda calls: calls.jobs.list(worker="app.Bulk7"),
        "jobs of no worker": lambda calls: calls.jobs.list(worker="app.None"),
        "jobs with a tag": lambda calls: calls.jobs.list(tag="vip"),
        "jobs before": lambda calls: calls.jobs.list(before=JobId(workflows)),
        "stored signals": lambda calls: calls.workflows.list_signals(),
        "stored signals of a name": lambda calls: calls.workflows.list_signals(signal="paid7"),
        "a stored signal": lambda calls: calls.workflows.list_signals(correlation_key="4711", signal="paid1"),
        "open waits": lambda calls: calls.workflows.list_waits(),
        "open waits of a workflow": lambda calls: calls.workflows.list_waits(workflow_id=WorkflowId(500)),
        "history": lambda calls: calls.workflows.history(WorkflowId(workflows // 1000 * 500 + 1)),
        "steps": lambda calls: calls.workflows.list_steps(WorkflowId(workflows // 2)),
        "queues": lambda calls: calls.queues.list(),
        "executors": lambda calls: calls.lifeline.list_executor_health(),
        "open incidents": lambda calls: calls.lifeline.list_incidents(),
        "resolved incidents": lambda calls: calls.lifeline.list_incidents(state="resolved"),
        "audit": lambda calls: calls.audit.list(),
        "audit of an actor": lambda calls: calls.audit.list(actor="ada7"),
        "audit refused": lambda calls: calls.audit.list(outcome="refused"),
        "audit since": lambda calls: calls.audit.list(since=middle),
        "commands of a workflow": lambda calls: calls.workflows.commands(WorkflowId(500)),
    }


class ServerTimes:
    """The milliseconds that the server executes the statements of a connection for, without planning them."""

    def __init__(self, conn: Connection) -> None:
        self.spent = 0.0
        conn.add_notice_handler(self._add)

    @classmethod
    async def of(cls, conn: Connection) -> "ServerTimes":
        await conn.execute(b"LOAD 'auto_explain'")
        await conn.execute(b"SET auto_explain.log_min_duration = 0")
        await conn.execute(b"SET auto_explain.log_level = notice")
        await conn.execute(b"SET client_min_messages = notice")
        return cls(conn)

    def _add(self, notice: Diagnostic) -> None:
        if found := re.match(r"duration: ([0-9.]+) ms", notice.message_primary or ""):
            self.spent += float(found[1])


async def measure(dsn: str, workflows: int) -> None:
    """Print how long each search takes."""
    async with fresh_database(dsn) as fresh, await connect(fresh) as conn:
        started = time.perf_counter()
        await generate(conn, workflows)
        print(f"{workflows:,} workflows generated in {time.perf_counter() - started:.0f} s")
        slow: list[str] = []
        async with open_calls(conn) as calls:
            times = await ServerTimes.of(conn)
            everything = {name: _searching(asked) for name, asked in searches(workflows).items()} | lists(workflows)
            for name, read in everything.items():
                taken: list[tuple[float, float]] = []
                for _ in range(RUNS):
                    times.spent, begun = 0.0, time.perf_counter()
                    await read(calls)
                    taken.append((times.spent, (time.perf_counter() - begun) * 1000))
                server, caller = (statistics.median(column) for column in zip(*taken, strict=True))
                slow += [name] if server > WITHIN else []
                print(f"{name:<28} {server:7.1f} ms at the server, {caller:7.1f} ms for the caller")
        if slow:
            raise RuntimeError(f"over {WITHIN:.0f} ms: {', '.join(slow)}")


def _searching(asked: dict[str, Any]) -> Callable[[Calls], Awaitable[Any]]:
    return lambda calls: calls.workflows.list(**asked)


async def generate(conn: Connection, workflows: int) -> None:
    """Fill a database with them, and what stands beside them."""
    for statement in GENERATE.read_text().replace("%(n)s", str(workflows)).split(";\n"):
        await conn.execute(statement.encode())
    await conn.execute(b"VACUUM ANALYZE")


@click.command()
@click.option("--workflows", default=1_000_000, show_default=True)
def main(workflows: int) -> None:
    """Measure."""
    with server() as dsn:
        asyncio.run(measure(dsn, workflows))


if __name__ == "__main__":
    main()
