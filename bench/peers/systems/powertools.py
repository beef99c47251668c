"""Ourselves, in the same harness as the others; ``lineup`` lists what else can be so in a run (``condition``)."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from bench import shapes, steps
from bench.events import WITHOUT_LOG
from bench.peers.ran import RAN
from bench.peers.work import Peer, Work
from oban_powertools import Powertools, Workflow, schema
from oban_powertools.database import connect

OPEN = 10_000
"""Workflows that are open all the while in the condition that is called after them."""


class System(Peer):
    versions_of = ("oban-powertools", "oban", "psycopg")
    about = "As it comes, with everything on: results, events, statistics, history."
    lacks = "Nothing of what is measured here."

    def install(self) -> None:
        asyncio.run(self._install())

    async def _install(self) -> None:
        async with await connect(self.uri) as conn:
            await schema.install(conn)
            if self.condition == "event log off":
                await conn.execute(WITHOUT_LOG)

    def open(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._followers: subprocess.Popen[str] | None = None
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self._powertools = await self._stack.enter_async_context(Powertools.open(self.uri))
        if self.condition == "10,000 open workflows":
            await self._powertools.workflows.insert_many([_waiting(i) for i in range(OPEN)])
        if self.condition == "200 subscribers":
            self._followers = _follow(self.uri)

    def submit(self, work: Work) -> Sequence[int]:
        build = shapes.chain if work.shape == "chain" else shapes.fan
        return self._loop.run_until_complete(self._submit([build(work.size) for _ in range(work.count)]))

    async def _submit(self, workflows: list[Workflow]) -> list[int]:
        if len(workflows) == 1:
            return [(await self._powertools.workflows.insert(workflows[0])).id]
        return [handle.id for handle in await self._powertools.workflows.insert_many(workflows)]

    def count_ended(self, ids: Sequence[int]) -> int:
        query = "SELECT count(*) FROM powertools.workflows WHERE id = ANY (%s) AND state = 'completed'"
        return self.scalar(query, list(ids))

    def count_recorded(self) -> int:
        return self.scalar("SELECT count(*) FROM powertools.steps WHERE state = 'completed' AND result IS NOT NULL")

    def close(self) -> None:
        if self._followers is not None:
            self._followers.communicate(timeout=60)  # it reads to the end of the log
            if self._followers.returncode:
                raise RuntimeError("the subscribers did not see every event in order")
        self._loop.run_until_complete(self._stack.aclose())

    def work(self, ready: Callable[[], None]) -> None:
        steps.Body.run = RAN.step
        uvloop.run(self._work(ready))

    async def _work(self, ready: Callable[[], None]) -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        turbo = self.condition != "turbo off"
        async with Powertools.open(self.uri, queues={"default": self.limit}, turbo=turbo):
            await asyncio.sleep(0.3)  # until the producer listens
            ready()
            await stop.wait()


def _waiting(i: int) -> Workflow:
    workflow = Workflow("waiting")
    workflow.await_signal("answer", signal="answer", correlation_key=f"{i}")
    return workflow


def _follow(uri: str) -> subprocess.Popen[str]:
    """Subscribers in a process of their own, which follow already."""
    command = [sys.executable, "-m", "bench.followers", uri]
    process = subprocess.Popen(
        command, text=True, cwd=Path(__file__).parents[3], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process
