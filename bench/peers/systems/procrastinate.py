"""Procrastinate: jobs on PostgreSQL, without workflows."""

import asyncio
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bench.peers.ran import RAN
from bench.peers.systems.queue import JobQueue
from bench.peers.work import Work


class System(JobQueue):
    requires = ("procrastinate", "psycopg[binary]")
    versions_of = ("procrastinate",)
    about = (
        "Jobs without dependencies, enqueued in one batch; looked for every second (5 as it comes) and when notified."
    )
    lacks = "No workflows, no stored results; the hop is that of a job which enqueues the next one itself."

    def install(self) -> None:
        with self._app(import_module("procrastinate").SyncPsycopgConnector(conninfo=self.uri)).open() as app:
            app.schema_manager.apply_schema()

    def _app(self, connector: Any) -> Any:
        app = import_module("procrastinate").App(connector=connector)
        link: Any = None

        async def step(i: int) -> None:
            RAN.step(i)

        async def chain(i: int, size: int) -> None:
            RAN.step(i)
            if i + 1 < size:
                await link.defer_async(i=i + 1, size=size)

        app.task(name="step")(step)
        link = app.task(name="chain")(chain)
        return app

    def open(self) -> None:
        self._opened = self._app(import_module("procrastinate").SyncPsycopgConnector(conninfo=self.uri))
        self._opened.open()

    def submit(self, work: Work) -> Sequence[int]:
        self.ended_after = self.scalar("SELECT coalesce(max(id), 0) FROM procrastinate_jobs")
        if work.is_one_chain:
            self._opened.configure_task("chain").defer(i=0, size=work.size)
        else:
            self._opened.configure_task("step").batch_defer(*({"i": number} for number in self.numbers(work)))
        return range(work.steps)

    def count_ended(self, ids: Sequence[int]) -> int:  # noqa: ARG002 - they are those after a number
        query = "SELECT count(*) FROM procrastinate_jobs WHERE id > %s AND status = 'succeeded'"
        return self.scalar(query, self.ended_after)

    def count_recorded(self) -> int:
        return 0

    def close(self) -> None:
        self._opened.close()

    def work(self, ready: Callable[[], None]) -> None:
        asyncio.run(self._work(ready))

    async def _work(self, ready: Callable[[], None]) -> None:
        connector = import_module("procrastinate").PsycopgConnector(conninfo=self.uri, max_size=10)
        async with self._app(connector).open_async() as app:
            asyncio.get_running_loop().call_later(0.5, ready)  # it does not say when it listens
            await app.run_worker_async(concurrency=self.limit, fetch_job_polling_interval=1.0)
