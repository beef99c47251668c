"""Lists and searches over 1,000,000 workflows: milliseconds each, as ``workflows.list`` answers.

    python -m bench.finding [--workflows N]

1 of 100 workflows is under way: it waits for a signal, has a job that runs, is to be tried again, is ready, or stands
in a queue that nobody serves. 1 of 100 failed. Each search must take less than 50 ms.
"""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from bench.server import fresh_database, server
from oban_powertools import open_calls
from oban_powertools.database import Connection, connect

WITHIN: Final = 50.0
"""Milliseconds a page."""

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


async def measure(dsn: str, workflows: int) -> None:
    """Print how long each search takes."""
    async with fresh_database(dsn) as fresh, await connect(fresh) as conn:
        started = time.perf_counter()
        await _generate(conn, workflows)
        print(f"{workflows:,} workflows generated in {time.perf_counter() - started:.0f} s")
        slow: list[str] = []
        async with open_calls(conn) as calls:
            for name, asked in searches(workflows).items():
                times: list[float] = []
                found = 0
                for _ in range(RUNS):
                    begun = time.perf_counter()
                    found = len(await calls.workflows.list(**asked))
                    times.append((time.perf_counter() - begun) * 1000)
                took = statistics.median(times)
                slow += [name] if took > WITHIN else []
                print(f"{name:<28} {found:>4} rows  {took:7.1f} ms, at most {max(times):.1f}")
        if slow:
            raise RuntimeError(f"over {WITHIN:.0f} ms: {', '.join(slow)}")


async def _generate(conn: Connection, workflows: int) -> None:
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
