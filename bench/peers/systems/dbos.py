"""DBOS: a workflow is a function whose steps are checkpoints, run by the process that starts it."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any
from uuid import uuid4

from bench.peers.ran import RAN
from bench.peers.work import Peer, Work


class System(Peer):
    requires = ("dbos", "psycopg[binary]")
    versions_of = ("dbos", "sqlalchemy")
    about = (
        "Durable functions on PostgreSQL, started and run in one process, which is how it was fastest: chains as "
        "functions in as many threads as steps at a time, fan-outs as one async function and `asyncio.gather`."
    )
    lacks = "Steps are not handed to other processes (its queues would do that); no log of events to follow, no graph."
    works_where_it_submits = True

    def install(self) -> None:
        """It migrates when it starts."""

    def open(self) -> None:
        self._dbos = import_module("dbos")
        url = self.uri.replace("postgresql://", "postgresql+psycopg://", 1)
        config = {"name": "bench", "log_level": "WARNING", "application_version": "1", "system_database_url": url}
        self._dbos.DBOS(config={**config, "max_executor_threads": max(8, self.limit)})
        self._define(self._dbos.DBOS)
        self._dbos.DBOS.launch()
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Semaphore(self.limit)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def _define(self, dbos: Any) -> None:
        step = dbos.step()(_step)
        step_async = dbos.step()(_step_async)

        def chain(size: int) -> None:
            for i in range(size):
                step(i)

        async def fan(size: int) -> None:
            await step_async(0)
            await asyncio.gather(*(step_async(i) for i in range(size)))
            await step_async(size)

        self._chain, self._fan = dbos.workflow(name="chain")(chain), dbos.workflow(name="fan")(fan)

    def submit(self, work: Work) -> Sequence[str]:
        ids = [str(uuid4()) for _ in range(work.count)]
        for one in ids:
            if work.shape == "chain":
                with self._dbos.SetWorkflowID(one):
                    self._dbos.DBOS.start_workflow(self._chain, work.size)
            else:
                asyncio.run_coroutine_threadsafe(self._start_fan(one, work.size), self._loop)
        return ids

    async def _start_fan(self, one: str, size: int) -> None:
        async with self._free:
            with self._dbos.SetWorkflowID(one):
                handle = await self._dbos.DBOS.start_workflow_async(self._fan, size)
            await handle.get_result()

    def count_ended(self, ids: Sequence[str]) -> int:
        query = "SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = ANY (%s) AND status = 'SUCCESS'"
        return self.scalar(query, list(ids))

    def count_recorded(self) -> int:
        return self.scalar("SELECT count(*) FROM dbos.operation_outputs")

    def close(self) -> None:
        self._dbos.DBOS.destroy()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def work(self, ready: Callable[[], None]) -> None:
        raise NotImplementedError


def _step(i: int) -> dict[str, Any]:
    return RAN.step(i)


async def _step_async(i: int) -> dict[str, Any]:
    return RAN.step(i)
