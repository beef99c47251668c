"""Pages of the console over 1,000,000 workflows: milliseconds each, in the process of the console.

    python -m bench.console [--workflows N]

The database of ``bench.finding``, with 200,000 deliveries of a webhook. Each page is asked for as a browser asks, and
what is measured is the whole of it: queries, explanation, markup. Then the page of executors with 10,000 of them, and a
workflow of 10,001 steps and of 5,000 steps that are drawn. Each list and overview must take less than 200 ms.
"""

import asyncio
import os
import re
import statistics
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from html import unescape
from random import Random
from typing import Final

import click
import httpx
from psycopg_pool import AsyncConnectionPool
from starlette.requests import HTTPConnection

from bench.finding import generate
from bench.graph import measure as measure_drawings
from bench.server import fresh_database, server
from bench.steps import NoOp
from oban_powertools import Calls, Workflow, WorkflowId, open_calls
from oban_powertools.database import Connection, connect
from oban_powertools.web import Console, create_console
from tests.support.browser import chromium, find_chromium, opened
from tests.support.console import served

WITHIN: Final = 200.0
"""Milliseconds of a list or an overview, the median of its runs."""

RUNS: Final = 9
STEPS_DRAWN: Final = 5_000
STEPS_LISTED: Final = 10_001
EXECUTORS: Final = 10_000

DELIVERIES: Final = b"""
INSERT INTO powertools.webhook_endpoints (url, cursor) VALUES ('https://ops.example/hook', 0);
INSERT INTO powertools.webhook_deliveries (
  endpoint_id, cursor, message, state, attempts, queued_at, attempted_at, finished_at, status
)
SELECT e.id, i, '{"type": "workflow.finished"}', CASE i % 20 WHEN 0 THEN 'dead' ELSE 'delivered' END, 1, at, at, at,
  CASE i % 20 WHEN 0 THEN 500 ELSE 204 END
FROM powertools.webhook_endpoints e, generate_series(1, 200000) AS i,
  LATERAL (SELECT now() - interval '3 days' * (1 - i / 200000::float8) AS at) AS p
"""
MORE_EXECUTORS: Final = b"""
INSERT INTO powertools.executors (
  executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after
)
SELECT 'more:' || i, 'node' || i %% 500, 'm' || i, 'queue' || i %% 20, now(), now(), now(), now(), '1 h'
FROM generate_series(1, %s) AS i
"""


def lists(workflows: int) -> Mapping[str, str]:
    """Name -> address: every list and overview, its first page, one far from it, and with filters."""
    middle = datetime.now(UTC) - timedelta(days=15)
    since, until = f"{middle:%Y-%m-%dT%H:%MZ}", f"{middle + timedelta(hours=1):%Y-%m-%dT%H:%MZ}"
    half = workflows // 2
    return {
        "overview": "/",
        "incidents": "/incidents",
        "incidents, resolved": "/incidents?state=resolved",
        "incidents, text": "/incidents?q=app.W4711",
        "incidents, class": "/incidents?state=resolved&class=failing_jobs&since=week",
        "workflows": "/workflows",
        "workflows, far": f"/workflows?cursor={half}",
        "workflows, Needs Review": "/workflows?status=Needs+Review",
        "workflows, Blocked": "/workflows?status=Blocked",
        "workflows, Waiting, far": f"/workflows?status=Waiting&cursor={half}",
        "workflows, Finished, far": f"/workflows?status=Finished&cursor={half}",
        "workflows, failed": "/workflows?state=failed",
        "workflows, name": "/workflows?name=flow7",
        "workflows, no such name": "/workflows?name=none",
        "workflows, tag": "/workflows?tag=vip",
        "workflows, key": f"/workflows?key=key-{workflows // 3}",
        "workflows, worker": "/workflows?worker=app.Rare",
        "workflows, step": "/workflows?step=rare",
        "workflows, context": "/workflows?context=region%3Deu",
        "workflows, rare context": f"/workflows?context=account_id%3D{workflows // 7}",
        "workflows, error": "/workflows?error=no+route+to+billing",
        "workflows, an hour": f"/workflows?since={since}&until={until}",
        "a workflow": f"/workflows/{half + 1}",
        "jobs": "/jobs",
        "jobs, far": f"/jobs?cursor={workflows + half}",
        "jobs, executing": "/jobs?state=executing",
        "jobs, completed, far": f"/jobs?state=completed&cursor={workflows + half}",
        "jobs, queue": "/jobs?queue=deserted",
        "jobs, worker": "/jobs?worker=app.Bulk7",
        "jobs, no such worker": "/jobs?worker=app.None",
        "jobs, tag": "/jobs?tag=vip",
        "jobs, error": "/jobs?state=retryable&error=route+billing",
        "jobs, Blocked": "/jobs?status=Blocked",
        "queues": "/queues",
        "a queue": "/queues/default",
        "signals": "/signals",
        "signals, far": f"/signals?cursor={workflows // 20}",
        "signals, name": "/signals?name=paid7",
        "waits": "/signals/waits",
        "waits, far": f"/signals/waits?cursor={half}",
        "executors": "/executors",
        "audit": "/audit",
        "audit, far": f"/audit?cursor={workflows // 10}",
        "audit, actor": "/audit?actor=ada7",
        "audit, refused": "/audit?outcome=refused",
        "audit, target": "/audit?target=workflow:500",
        "audit, since": f"/audit?since={since}",
        "retention": "/retention",
        "webhooks": "/webhooks",
        "a webhook": "/webhooks/1",
        "a webhook, far": "/webhooks/1?cursor=100000",
        "a webhook, dead": "/webhooks/1?state=dead",
        "about": "/about",
    }


class Clock:
    """Asks a console in this process for pages, and prints how long each took."""

    def __init__(self, console: Console, client: httpx.AsyncClient) -> None:
        self.console = console
        self._client = client
        self.slow: list[str] = []

    async def read(self, name: str, address: str, *, within: float | None = WITHIN) -> str:
        """Ask for a page, time after time; its text."""
        taken: list[float] = []
        text = ""
        for _ in range(RUNS):
            begun = time.perf_counter()
            answer = await self._client.get(address)
            taken.append((time.perf_counter() - begun) * 1000)
            text = answer.text
            if answer.status_code != 200 or "panel failed" in text:
                raise RuntimeError(f"{address}: {answer.status_code}, or a part of it failed")
        median = statistics.median(taken)
        over = within is not None and median > within
        self.slow += [name] if over else []
        print(f"{name:<32} {median:7.1f} ms, at worst {max(taken):7.1f}{'  SLOW' if over else ''}", flush=True)
        return text

    async def turn(self, name: str, address: str, pages: int) -> None:
        """Ask for the page that is so many pages further on."""
        for _ in range(pages):
            answer = await self._client.get(address)
            following = re.search(r'href="([^"]+)" rel="next"', answer.text)
            if following is None:
                break
            address = unescape(following[1])
        await self.read(name, address)


async def measure(dsn: str, workflows: int) -> None:
    """Print how long each page takes."""
    async with AsyncExitStack() as stack:
        fresh = await stack.enter_async_context(fresh_database(dsn))
        conn = await stack.enter_async_context(await connect(fresh))
        started = time.perf_counter()
        await generate(conn, workflows)
        await conn.execute(DELIVERIES)
        await conn.execute(b"VACUUM ANALYZE")
        print(
            f"{workflows:,} workflows generated in {time.perf_counter() - started:.0f} s; load {os.getloadavg()[0]:.1f}"
        )
        pool = await stack.enter_async_context(AsyncConnectionPool(fresh, min_size=4, max_size=4, open=False))
        calls = await stack.enter_async_context(open_calls(pool))
        console = create_console(calls, actor=_ada, read_within=timedelta(minutes=1))
        transport = httpx.ASGITransport(console)
        clock = Clock(
            console, await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://bench"))
        )
        for name, address in lists(workflows).items():
            await clock.read(name, address)
        await clock.turn("incidents, resolved, page 40", "/incidents?state=resolved", 40)
        await _measure_large(clock, calls)
        await _measure_executors(clock, conn)
        print(f"load {os.getloadavg()[0]:.1f}; of {os.cpu_count()} processors")
        if clock.slow:
            raise RuntimeError(f"over {WITHIN:.0f} ms: {', '.join(clock.slow)}")


def _ada(_: HTTPConnection) -> str:
    return "ada"


async def _measure_large(clock: Clock, calls: Calls) -> None:
    """Workflows that have just been inserted: no statistics know them."""
    flat = Workflow("listed")
    flat.add_many({f"s{n}": NoOp.new({"i": n}) for n in range(STEPS_LISTED)})
    listed = (await calls.workflows.insert(flat)).id
    for tab in ("steps", "gantt", "history", "events"):
        await clock.read(f"{STEPS_LISTED:,} steps, {tab}", f"/workflows/{listed}?tab={tab}", within=None)
    drawn = await insert_layered(calls, STEPS_DRAWN)
    text = await clock.read(f"{STEPS_DRAWN:,} steps, drawn", f"/workflows/{drawn}?tab=graph&all=yes", within=None)
    print(f"{'':<32} {len(text) / 1e6:.1f} MB")
    await _measure_in_chromium(clock.console, f"/workflows/{drawn}?tab=graph&all=yes")


async def _measure_in_chromium(console: Console, address: str) -> None:
    """From the address to the drawn page, in a browser that was never here."""
    if find_chromium() is None:
        print("no Chromium on this machine: the drawn page was not opened")
        return
    taken: list[float] = []
    async with served(console) as origin, chromium() as browser:
        for _ in range(3):
            async with opened(browser, origin, viewport={"width": 1280, "height": 800}) as watched:
                begun = time.perf_counter()
                await watched.page.goto(address, wait_until="load", timeout=120_000)
                taken.append((time.perf_counter() - begun) * 1000)
    print(f"{'  in Chromium, until it is drawn':<32} {statistics.median(taken):7.1f} ms, at worst {max(taken):7.1f}")


async def insert_layered(calls: Calls, steps: int) -> WorkflowId:
    """A workflow in which each step needs one to three of those shortly before it."""
    random, near = Random(1), round(steps**0.5)
    workflow = Workflow("layered")
    for n in range(steps):
        parents = random.sample(range(max(0, n - near), n), min(n, random.choice((1, 1, 1, 2, 3))))
        workflow.add(f"step_{n}", NoOp.new({"i": n}), deps=[f"step_{parent}" for parent in sorted(parents)])
    return (await calls.workflows.insert(workflow)).id


async def _measure_executors(clock: Clock, conn: Connection) -> None:
    await conn.execute(MORE_EXECUTORS, [EXECUTORS])
    await clock.read(f"{EXECUTORS:,} executors", "/executors")
    await clock.turn(f"{EXECUTORS:,} executors, page 50", "/executors", 50)
    await clock.read(f"overview, {EXECUTORS:,} executors", "/")


@click.command()
@click.option("--workflows", default=1_000_000, show_default=True)
def main(workflows: int) -> None:
    """Measure."""
    measure_drawings(STEPS_DRAWN)
    with server() as dsn:
        asyncio.run(measure(dsn, workflows))


if __name__ == "__main__":
    main()
