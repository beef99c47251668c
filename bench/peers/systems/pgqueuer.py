"""PgQueuer: jobs on PostgreSQL, without workflows; a finished job's row is moved to a log."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any

from bench.peers.ran import RAN
from bench.peers.systems.queue import JobQueue
from bench.peers.work import Work


class System(JobQueue):
    requires = ("pgqueuer[asyncpg]", "uvloop", "psycopg[binary]")
    versions_of = ("pgqueuer", "asyncpg")
    about = "Jobs without dependencies over asyncpg, enqueued in one batch."
    lacks = (
        "No workflows, no stored results, outcomes written in batches some time later; the hop is that of a job which "
        "enqueues the next one itself."
    )

    def install(self) -> None:
        asyncio.run(self._install())

    async def _install(self) -> None:
        conn = await import_module("asyncpg").connect(self.uri)
        await self._queries(conn).install()
        await conn.close()

    def _queries(self, conn: Any) -> Any:
        pgqueuer = import_module("pgqueuer")
        return pgqueuer.Queries(pgqueuer.AsyncpgDriver(conn))

    def open(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._asyncpg = self._loop.run_until_complete(import_module("asyncpg").connect(self.uri))

    def submit(self, work: Work) -> Sequence[int]:
        self.ended_after = self.scalar("SELECT coalesce(max(id), 0) FROM pgqueuer_log")
        if work.is_one_chain:
            name, args = "chain", [{"i": 0, "size": work.size}]
        else:
            name, args = "step", [{"i": number} for number in self.numbers(work)]
        enqueue = self._queries(self._asyncpg).enqueue
        bodies = [json.dumps(one).encode() for one in args]
        self._loop.run_until_complete(enqueue([name] * len(args), bodies, [0] * len(args)))
        return range(work.steps)

    def count_ended(self, ids: Sequence[int]) -> int:  # noqa: ARG002 - they are those after a number
        query = "SELECT count(*) FROM pgqueuer_log WHERE id > %s AND status = 'successful'"
        return self.scalar(query, self.ended_after)

    def count_recorded(self) -> int:
        return 0

    def close(self) -> None:
        self._loop.run_until_complete(self._asyncpg.close())

    def work(self, ready: Callable[[], None]) -> None:
        import_module("uvloop").run(self._work(ready))

    async def _work(self, ready: Callable[[], None]) -> None:
        pgqueuer = import_module("pgqueuer")
        async with import_module("asyncpg").create_pool(self.uri, min_size=2, max_size=10) as pool:
            queue = pgqueuer.PgQueuer(pgqueuer.AsyncpgPoolDriver(pool))
            queries = pgqueuer.Queries(pgqueuer.AsyncpgPoolDriver(pool))

            async def step(job: Any) -> None:
                RAN.step(json.loads(job.payload)["i"])

            async def chain(job: Any) -> None:
                args = json.loads(job.payload)
                RAN.step(args["i"])
                if args["i"] + 1 < args["size"]:
                    await queries.enqueue("chain", json.dumps({**args, "i": args["i"] + 1}).encode())

            queue.entrypoint("step")(step)
            queue.entrypoint("chain")(chain)
            asyncio.get_running_loop().call_later(0.7, ready)  # it does not say when it listens
            fetch = {"batch_size": self.limit, "max_concurrent_tasks": 2 * self.limit}
            await queue.run(dequeue_timeout=timedelta(seconds=1), **fetch)
