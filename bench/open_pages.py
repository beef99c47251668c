"""200 pages of the console that stay current, on one process: its memory and CPU, and whether a worker feels them.

    python -m bench.open_pages [--pages N] [--pairs N]

Every page has its stream and asks for itself again as the script of a page does: at most every 2 s when it was told
that something changed, and every 15 s anyhow. What is printed: the console idle and during 2,000 steps, then pairs of
W1 with the pages open and without them, the other one first in each pair. The browsers' side of it, a process of its
own, runs on the same machine.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

import click
import httpx
import psutil
import uvicorn
from starlette.requests import HTTPConnection

from bench.server import server
from bench.shapes import WORKLOADS
from bench.speed import Setting, run_batch
from oban_powertools import Powertools
from oban_powertools.web import create_console

ROOT: Final = Path(__file__).parents[1]
ADDRESSES: Final = ("/", "/workflows", "/incidents", "/executors", "/jobs?state=executing")
TOPICS: Final = "workflow:all incident:all executor:all"
CALM: Final = 2.0
ANYHOW: Final = 15.0
"""Seconds between two questions of a page, as in ``console.js``."""

IDLE_FOR: Final = 20.0
"""Seconds."""


class Looked:
    """What the browsers have seen so far."""

    def __init__(self) -> None:
        self.answers = 0
        self.refused = 0
        """Answers that were no page: it was given up, or there were too many streams."""
        self.waited: list[float] = []


class OpenPage:
    """One page in a browser."""

    def __init__(self, client: httpx.AsyncClient, number: int, looked: Looked) -> None:
        self._client = client
        self._address = ADDRESSES[number % len(ADDRESSES)]
        self._who = {"X-Who": f"person-{number}"}
        self._looked = looked
        self._changed = asyncio.Event()

    async def stay(self, opened: asyncio.Event) -> None:
        """Open it, and keep it current until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(opened))
            await self._ask()
            while True:
                self._changed.clear()
                await asyncio.sleep(CALM)
                try:
                    async with asyncio.timeout(ANYHOW - CALM):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                await self._ask(**{"X-Powertools-Live": "yes"})

    async def _ask(self, **more: str) -> None:
        begun = time.perf_counter()
        answer = await self._client.get(self._address, headers={**self._who, **more})
        self._looked.answers += 1
        self._looked.refused += answer.status_code != 200
        self._looked.waited.append(time.perf_counter() - begun)

    async def _listen(self, opened: asyncio.Event) -> None:
        while True:
            async with self._client.stream("GET", "/stream", params={"topics": TOPICS}, headers=self._who) as answer:
                if answer.status_code == 200:
                    opened.set()
                    async for line in answer.aiter_lines():
                        if line == "event: changed":
                            self._changed.set()
                else:
                    self._looked.refused += 1
            await asyncio.sleep(1)


async def _look(origin: str, pages: int) -> None:
    """The browsers' process: says when all are open; answers a line with what was seen since the last."""
    limits = httpx.Limits(max_connections=None)
    looked = Looked()
    async with httpx.AsyncClient(base_url=origin, limits=limits, timeout=120) as client:
        tasks: list[asyncio.Task[None]] = []
        for number in range(pages):
            opened = asyncio.Event()
            tasks.append(asyncio.create_task(OpenPage(client, number, looked).stay(opened)))
            await opened.wait()
        print("{}", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            waits = sorted(looked.waited) or [0.0]
            seen = {"answers": looked.answers, "refused": looked.refused, "median": median(waits), "most": waits[-1]}
            print(json.dumps(seen), flush=True)
            looked.answers, looked.refused, looked.waited = 0, 0, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(dsn: str) -> None:
    """The console's process: prints its port."""

    def who(connection: HTTPConnection) -> str:
        return connection.headers.get("x-who", "ada")

    async with Powertools.open(dsn) as powertools:
        config = uvicorn.Config(
            create_console(powertools, actor=who),
            port=0,
            lifespan="off",
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        serving = uvicorn.Server(config)
        task = asyncio.create_task(serving.serve())
        while not serving.started:  # noqa: ASYNC110 - uvicorn has no event of it
            await asyncio.sleep(0.05)
        print(json.dumps({"port": serving.servers[0].sockets[0].getsockname()[1]}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        serving.should_exit = True
        await task


class Open:
    """The pages that are open, and what the console's process uses for them."""

    def __init__(self, console: psutil.Process, browsers: "Child") -> None:
        self._console = console
        self._browsers = browsers

    async def usage(self) -> tuple[float, float]:
        """Its CPU seconds so far, and its resident megabytes."""
        used = self._console.cpu_times()
        return used.user + used.system, self._console.memory_info().rss / 2**20

    async def seen(self) -> dict[str, float]:
        """What the browsers saw since they were last asked."""
        return await self._browsers.ask()


class Child:
    """A process of this file, which answers lines with lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with code {await self.process.wait()}")
        return json.loads(line)

    async def ask(self) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(b"now\n")
        return await self.answer()


@asynccontextmanager
async def child(*args: str) -> AsyncIterator[Child]:
    """A process that ends with its input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.open_pages", *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        yield Child(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()


@asynccontextmanager
async def opened(dsn: str, pages: int) -> AsyncIterator[Open]:
    """Pages of a console of their own."""
    async with child("serve", dsn) as console:
        port = int((await console.answer())["port"])
        async with child("look", f"http://127.0.0.1:{port}", str(pages)) as browsers:
            await browsers.answer()
            yield Open(psutil.Process(console.process.pid), browsers)


async def measure(dsn: str, pages: int, pairs: int) -> None:
    """Print the console's memory and CPU, then the pairs."""
    print(f"{pages} pages, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    async with Setting(turbo=True).system(dsn) as (powertools, conn, workers):
        address = conn.info.dsn + (f" password={conn.info.password}" if conn.info.password else "")
        async with opened(address, 0) as alone:
            print(f"no page    {(await alone.usage())[1]:6.0f} MB")
        async with opened(address, pages) as looking:
            await asyncio.sleep(5)
            await looking.seen()
            before, _ = await looking.usage()
            await asyncio.sleep(IDLE_FOR)
            await _print("idle", looking, before, IDLE_FOR)
            before, _ = await looking.usage()
            begun = time.perf_counter()
            await run_batch(powertools, conn, workers, WORKLOADS["W1"])
            took = time.perf_counter() - begun
            await _print(f"2,000 steps in {took:.1f} s", looking, before, took)
            before, _ = await looking.usage()
            await asyncio.sleep(IDLE_FOR)
            await _print(f"{IDLE_FOR:.0f} s after them", looking, before, IDLE_FOR)
        await run_batch(powertools, conn, workers, WORKLOADS["W1"])
        ratios: list[float] = []
        for number in range(pairs):
            rates: dict[bool, float] = {}
            for with_pages in (True, False) if number % 2 else (False, True):
                if with_pages:
                    async with opened(address, pages):
                        await asyncio.sleep(5)
                        rates[True] = (await run_batch(powertools, conn, workers, WORKLOADS["W1"])).rate
                else:
                    rates[False] = (await run_batch(powertools, conn, workers, WORKLOADS["W1"])).rate
            ratios.append(rates[True] / rates[False])
            print(f"W1         {rates[False]:6.0f} steps/s alone, {rates[True]:6.0f} with the pages: {ratios[-1]:.2f}")
    print(f"pairs      {median(ratios):.2f} of the speed ({min(ratios):.2f} to {max(ratios):.2f})")


async def _print(name: str, looking: Open, before: float, seconds: float) -> None:
    after, rss = await looking.usage()
    seen = await looking.seen()
    print(
        f"{name:<22} {rss:6.0f} MB, {(after - before) / seconds:6.1%} of a processor, {seen['answers'] / seconds:5.1f} "
        f"pages/s, each {seen['median'] * 1000:.0f} ms (at worst {seen['most'] * 1000:.0f}), "
        f"{seen['refused']} refused",
        flush=True,
    )


@click.group(invoke_without_command=True)
@click.option("--pages", default=200, show_default=True)
@click.option("--pairs", default=3, show_default=True)
@click.pass_context
def main(context: click.Context, pages: int, pairs: int) -> None:
    """Measure."""
    if context.invoked_subcommand is None:
        with server() as dsn:
            asyncio.run(measure(dsn, pages, pairs))


@main.command(hidden=True)
@click.argument("dsn")
def serve(dsn: str) -> None:
    """The console."""
    asyncio.run(_serve(dsn))


@main.command(hidden=True)
@click.argument("origin")
@click.argument("pages", type=int)
def look(origin: str, pages: int) -> None:
    """The browsers."""
    asyncio.run(_look(origin, pages))


if __name__ == "__main__":
    main()
