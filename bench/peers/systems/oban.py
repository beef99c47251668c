"""Plain Oban jobs: Oban alone, and with Powertools installed, with turbo and without."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from oban import Job, Oban, Record
from oban.decorators import worker
from oban.schema import install_sql
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench.peers.ran import RAN
from bench.peers.systems.queue import JobQueue
from bench.peers.work import Work
from oban_powertools import Powertools, schema
from oban_powertools.database import connect


class System(JobQueue):
    versions_of = ("oban", "psycopg")
    about = "Jobs without dependencies, enqueued in one batch, results recorded: what Powertools builds on."
    lacks = "No workflows; the hop is that of a job which enqueues the next one itself."

    def install(self) -> None:
        if self.condition:
            asyncio.run(_install(self.uri))
        else:
            self.look().execute(install_sql().encode())

    def open(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool = AsyncConnectionPool[AsyncConnection](self.uri, min_size=1, max_size=2, open=False)
        self._loop.run_until_complete(self._pool.open(wait=True))
        self._client = Oban(pool=self._pool)

    def submit(self, work: Work) -> Sequence[int]:
        self.ended_after = self.scalar("SELECT coalesce(max(id), 0) FROM oban_jobs")
        if work.is_one_chain:
            jobs = [Chain.new({"i": 0, "size": work.size})]
        else:
            jobs = [Step.new({"i": number}) for number in self.numbers(work)]
        self._loop.run_until_complete(self._client.enqueue_many(jobs))
        return range(work.steps)

    def count_ended(self, ids: Sequence[int]) -> int:  # noqa: ARG002 - they are those after a number
        return self.scalar("SELECT count(*) FROM oban_jobs WHERE id > %s AND state = 'completed'", self.ended_after)

    def count_recorded(self) -> int:
        return self.scalar("SELECT count(*) FROM oban_jobs WHERE meta ? 'return'")

    def close(self) -> None:
        self._loop.run_until_complete(self._pool.close())

    def work(self, ready: Callable[[], None]) -> None:
        uvloop.run(self._work(ready))

    async def _work(self, ready: Callable[[], None]) -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with self._oban() as oban:
            Here.oban = oban
            await asyncio.sleep(0.3)  # until the producer listens
            ready()
            await stop.wait()

    @asynccontextmanager
    async def _oban(self) -> AsyncIterator[Oban]:
        async with AsyncConnectionPool[AsyncConnection](self.uri, min_size=2, max_size=10, open=False) as pool:
            oban = Oban(pool=pool, queues={"default": self.limit})
            if not self.condition:
                async with oban:
                    yield oban
                return
            powertools = Powertools(oban, turbo=self.condition != "with Powertools, turbo off")
            async with oban, powertools:
                yield oban
            await powertools.close()


class Here:
    """What this process runs."""

    oban: Any = None


async def _install(uri: str) -> None:
    async with await connect(uri) as conn:
        await schema.install(conn)


@worker(queue="default", max_attempts=3)
class Step:
    """A job of its own."""

    async def process(self, job: Job) -> Record:
        return Record(RAN.step(job.args["i"]))


@worker(queue="default", max_attempts=3)
class Chain:
    """A job that enqueues the next one."""

    async def process(self, job: Job) -> Record:
        i, size = job.args["i"], job.args["size"]
        result = RAN.step(i)
        if i + 1 < size:
            await Here.oban.enqueue(Chain.new({"i": i + 1, "size": size}))
        return Record(result)
