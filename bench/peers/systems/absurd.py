"""Absurd: a task is a function whose steps are checkpoints, taken in one process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Any

from bench.peers.ran import RAN
from bench.peers.work import Peer, Work


class System(Peer):
    requires = ("absurd-sdk", "absurdctl", "psycopg[binary]")
    versions_of = ("absurd-sdk", "absurdctl")
    about = (
        "Durable functions on PostgreSQL. The steps of a workflow are checkpoints of one function in one process, over "
        "the one connection of its worker; a fan-out is `asyncio.gather`. Its worker looks for tasks every 20 ms (250 "
        "as it comes)."
    )
    lacks = "Steps are not handed to other processes; no log of events to follow, no graph, no attempts of a step."

    def install(self) -> None:
        # The schema is not in the SDK; the command that ships with it has it.
        self.look().execute(import_module("absurdctl").BUNDLED_SCHEMA_SQL)
        client = import_module("absurd_sdk").Absurd(self.uri)
        client.create_queue("bench")
        client.close()

    def open(self) -> None:
        self._client = import_module("absurd_sdk").Absurd(self.uri, queue_name="bench")

    def submit(self, work: Work) -> Sequence[str]:
        params = {"size": work.size}
        return [str(self._client.spawn(work.shape, params, queue="bench")["task_id"]) for _ in range(work.count)]

    def count_ended(self, ids: Sequence[str]) -> int:
        query = "SELECT count(*) FROM absurd.t_bench WHERE task_id = ANY (%s::uuid[]) AND state = 'completed'"
        return self.scalar(query, list(ids))

    def count_recorded(self) -> int:
        return self.scalar("SELECT count(*) FROM absurd.c_bench")

    def close(self) -> None:
        self._client.close()

    def work(self, ready: Callable[[], None]) -> None:
        asyncio.run(self._work(ready))

    async def _work(self, ready: Callable[[], None]) -> None:
        app = import_module("absurd_sdk").AsyncAbsurd(self.uri, queue_name="bench")

        async def chain(params: dict[str, int], ctx: Any) -> None:
            for i in range(params["size"]):
                await ctx.step(f"s{i}", _body(i))

        async def fan(params: dict[str, int], ctx: Any) -> None:
            await ctx.step("first", _body(0))
            await asyncio.gather(*(ctx.step(f"m{i}", _body(i)) for i in range(params["size"])))
            await ctx.step("last", _body(params["size"]))

        app.register_task(name="chain")(chain)
        app.register_task(name="fan")(fan)
        await app.list_queues()  # connected
        ready()
        await app.start_worker(concurrency=self.limit, poll_interval=0.02)


def _body(number: int) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def step() -> dict[str, Any]:
        return RAN.step(number)

    return step
