"""Chancy with its workflow plugin: steps are jobs, and a leader moves the workflows on."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bench.peers.ran import RAN
from bench.peers.work import Peer, Work


class System(Peer):
    requires = ("chancy", "psycopg[binary]")
    versions_of = ("chancy",)
    about = (
        "Jobs and graphs on PostgreSQL, async executor. Outcomes are written every 20 ms (1 s as it comes), queues are "
        "looked at every second and eagerly."
    )
    lacks = "Results of steps are not stored; the leader reads and writes a whole workflow at each change of it."

    def install(self) -> None:
        asyncio.run(self._migrate())

    async def _migrate(self) -> None:
        async with self._chancy(2) as app:
            await app.migrate()

    def _chancy(self, connections: int) -> Any:
        log = logging.getLogger("bench.chancy")
        log.setLevel(logging.WARNING)
        leadership = import_module("chancy.plugins.leadership").Leadership(poll_interval=1, timeout=10)
        make = import_module("chancy").Chancy
        return make(self.uri, log=log, max_connection_pool_size=connections, plugins=[leadership])

    def open(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._app = self._chancy(4)
        self._loop.run_until_complete(self._app.__aenter__())

    def submit(self, work: Work) -> Sequence[str]:
        return self._loop.run_until_complete(self._submit(work))

    async def _submit(self, work: Work) -> Sequence[str]:
        plugin = import_module("chancy.plugins.workflow").WorkflowPlugin
        return [str(await plugin.push(self._app, self._workflow(work))) for _ in range(work.count)]

    def _workflow(self, work: Work) -> Any:
        workflow = import_module("chancy.plugins.workflow").Workflow(work.shape)
        last = work.size
        if work.shape == "chain":
            for i in range(work.size):
                workflow.add(f"s{i}", _job(i), [f"s{i - 1}"] if i else [])
            return workflow
        workflow.add("first", _job(0))
        for i in range(work.size):
            workflow.add(f"m{i}", _job(i), ["first"])
        workflow.add("last", _job(last), [f"m{i}" for i in range(work.size)])
        return workflow

    def count_ended(self, ids: Sequence[str]) -> int:
        query = "SELECT count(*) FROM chancy_workflows WHERE id = ANY (%s::uuid[]) AND state = 'completed'"
        return self.scalar(query, list(ids))

    def count_recorded(self) -> int:
        return 0

    def close(self) -> None:
        self._loop.run_until_complete(self._app.__aexit__(None, None, None))

    def work(self, ready: Callable[[], None]) -> None:
        asyncio.run(self._work(ready))

    async def _work(self, ready: Callable[[], None]) -> None:
        chancy = import_module("chancy")
        async with self._chancy(10) as app:
            how = {"concurrency": self.limit, "executor": chancy.Chancy.Executor.Async}
            queue = chancy.Queue("default", eager_polling=True, polling_interval=1, **how)
            await app.declare(queue, upsert=True)
            worker = chancy.Worker(app)
            worker.send_outgoing_interval = 0.02
            async with worker:
                await asyncio.wait_for(worker.is_leader.wait(), 60)
                await asyncio.sleep(1)  # until the leader's plugins look around
                ready()
                await worker.wait_for_shutdown()


async def step(*, i: int) -> None:
    """The job; the worker finds it by its name in this module."""
    RAN.step(i)


def _job(number: int) -> Any:
    return import_module("chancy").job()(step).job.with_kwargs(i=number)
