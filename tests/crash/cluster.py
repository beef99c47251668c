"""Several worker processes on one database, and what a test asks of them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

from oban import Oban
from psycopg import AsyncConnection
from psycopg.rows import scalar_row
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Powertools, Workflow, WorkflowRecord
from oban_powertools.config import Settings
from oban_powertools.workflows import WorkflowHandle
from tests.crash.graphs import Graph
from tests.crash.steps import step
from tests.support.by_hand import everybody_may
from tests.support.ledger import LEDGER_DSN, Ledger, eventually

ROOT = Path(__file__).parents[2]
TABLES = ("public.oban_jobs", "powertools.workflows", "powertools.steps", "powertools.settle_faults")


class Node:
    """One worker process."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    async def ended(self, *, within: float = 20) -> None:
        """Wait until it has ended, however it did."""
        await asyncio.wait_for(self._process.wait(), within)

    async def killed_itself(self, *, within: float = 10) -> None:
        """Wait until it has ended at its crash point."""
        assert await asyncio.wait_for(self._process.wait(), within) == 137, self.log

    async def stop(self, *, within: float = 20) -> None:
        """Let it end in good order; a node that was killed is left alone."""
        if not self.running:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert await asyncio.wait_for(self._process.wait(), within) == 0, self.log


class Cluster:
    """The database of one test with its worker processes; the test's own process runs no jobs."""

    def __init__(
        self, dsn: str, powertools: Powertools, ledger: Ledger, directory: Path, *, ledger_dsn: str | None = None
    ) -> None:
        self.dsn = dsn
        self._ledger_dsn = ledger_dsn or dsn
        self.powertools = powertools
        self.ledger = ledger
        self.nodes: list[Node] = []
        self._directory = directory

    async def node(
        self,
        *,
        turbo: bool = True,
        limit: int = 10,
        queues: dict[str, int] | None = None,
        dsn: str | None = None,
        crash_point: str | None = None,
        sweep_every: float = 1.0,
        gone_after: float = 15.0,
        late_after: float = 45.0,
        clock_off_by: float = 0.0,
        **oban: Any,
    ) -> Node:
        """Start a worker process and wait until it runs."""
        spec = {
            "dsn": dsn or self.dsn,
            "turbo": turbo,
            "queues": queues or {"default": limit},
            "sweep_every": sweep_every,
            "oban": oban,
            "gone_after": gone_after,
            "late_after": late_after,
            "clock_off_by": clock_off_by,
        }
        log = self._directory / f"node-{len(self.nodes) + 1}.log"
        process = await self._start("tests.crash.node", json.dumps(spec), log=log, crash_point=crash_point)
        node = Node(process, log)
        self.nodes.append(node)
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n", node.log
        return node

    async def nodes_of(self, count: int, **spec: Any) -> list[Node]:
        """Several alike."""
        return await asyncio.gather(*(self.node(**spec) for _ in range(count)))

    async def program(self, module: str, *arguments: str) -> Node:
        """Start a program that is no worker; it is killed at the end, if it has not ended."""
        log = self._directory / f"{module}.log"
        program = Node(await self._start(module, *arguments, log=log, crash_point=None), log)
        self.nodes.append(program)
        return program

    async def run(self, module: str, *arguments: str, crash_point: str | None = None) -> tuple[int, str]:
        """Run a program to its end; its exit code and output."""
        log = self._directory / f"{module}.log"
        process = await self._start(module, *arguments, log=log, crash_point=crash_point)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def _start(
        self, module: str, *arguments: str, log: Path, crash_point: str | None
    ) -> asyncio.subprocess.Process:
        environment = {**os.environ, LEDGER_DSN: self._ledger_dsn}
        if crash_point:
            environment["POWERTOOLS_CRASH_POINT"] = crash_point
        with log.open("ab") as errors:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=environment,
            )

    def dsn_with(self, setting: str, value: int) -> str:
        """The database, for sessions with another setting, milliseconds."""
        return f"{self.dsn}&options=-c{setting}%3D{value}"

    async def insert(self, *workflows: Workflow) -> list[WorkflowHandle]:
        return await self.powertools.workflows.insert_many(workflows)

    async def ran_a_step(self) -> None:
        """Have the nodes run a step: what they had to acknowledge before, they have acknowledged then."""
        workflow = Workflow("probe")
        workflow.add("probe", step())
        await self.end(await self.insert(workflow))

    async def end(self, handles: Sequence[WorkflowHandle], *, within: float = 20) -> list[WorkflowRecord]:
        """Wait until all these workflows have ended."""
        return await asyncio.gather(*(handle.wait(timeout=timedelta(seconds=within)) for handle in handles))

    async def end_as(self, handles: Sequence[WorkflowHandle], graphs: Sequence[Graph], *, within: float) -> None:
        """Wait until these workflows have ended, and assert that each did so as its graph must, told once."""
        await self.end(handles, within=within)
        for handle, graph in zip(handles, graphs, strict=True):
            steps = await self.powertools.workflows.steps(handle.id)
            assert [record.state for record in steps] == graph.states
            results = await self.powertools.workflows.results(handle.id)
            assert results == graph.results
        told = await self.ask("SELECT meta->'workflow_id' FROM public.oban_jobs WHERE meta ? 'outcome'")
        assert sorted(told) == [h.id for h, graph in zip(handles, graphs, strict=True) if graph.workflow.on_finished]

    @asynccontextmanager
    async def oban(self, *, dsn: str | None = None, **options: Any) -> AsyncIterator[Oban]:
        """A plain Oban without queues, as another application on these tables would have."""
        async with (
            AsyncConnectionPool[AsyncConnection[Any]](dsn or self.dsn, min_size=1, max_size=4, open=False) as pool,
            Oban(pool=pool, name="plain", **options) as oban,
        ):
            yield oban

    @asynccontextmanager
    async def lifeline(self, *, rescue_after: float = 1.0) -> AsyncIterator[None]:
        """Oban's own rescue of jobs that have been executing that long, seconds."""
        lifeline = {"interval": 0.2, "rescue_after": rescue_after}
        async with self.oban(leadership=True, lifeline=lifeline):
            yield

    @asynccontextmanager
    async def session(self, *, autocommit: bool = True) -> AsyncIterator[AsyncConnection[Any]]:
        """A person in psql."""
        async with await AsyncConnection.connect(self.dsn, autocommit=autocommit) as conn:
            yield conn

    async def ask(self, query: LiteralString, *args: Any) -> list[Any]:
        """The first column of every row."""
        async with self.session() as conn, conn.cursor(row_factory=scalar_row) as cursor:
            await cursor.execute(query, args or None)
            return await cursor.fetchall()

    async def rows(self) -> dict[str, list[Any]]:
        """Every row that Oban and Powertools keep, for comparing."""
        found: dict[str, list[Any]] = {}
        async with self.session() as conn, conn.cursor(row_factory=scalar_row) as cursor:
            for table in TABLES:
                await cursor.execute(f"SELECT to_jsonb(t) FROM {table} AS t ORDER BY to_jsonb(t)::text".encode())
                found[table] = await cursor.fetchall()
        return found

    async def until_nothing_runs(self) -> None:
        """Wait until the server has done what it was asked, also by processes that were killed since."""

        async def idle() -> bool:
            return not await self.ask(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'"
            )

        await eventually(idle)

    async def blocked(self, times: int = 1, *, since: datetime | None = None) -> datetime:
        """Wait until so many backends wait for rows that others have locked; since when the last one does."""

        async def enough() -> datetime | None:
            starts = await self.ask(
                "SELECT waitstart FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database()"
                " AND locktype IN ('tuple', 'transactionid') AND waitstart > coalesce(%s::timestamptz, '-infinity')"
                " ORDER BY waitstart",
                since,
            )
            return starts[-1] if len(starts) >= times else None

        answer = await eventually(enough)
        assert answer is not None
        return answer

    async def job_ids(self) -> dict[str, int]:
        """Step -> id of its job; for tests with one workflow or with different names."""
        pairs = await self.ask("SELECT jsonb_build_array(name, job_id) FROM powertools.steps WHERE job_id IS NOT NULL")
        return dict(pairs)

    async def until_states(self, *, within: float = 10, **states: str) -> None:
        """Wait until these steps are in these states, with their job while it lives."""

        async def reached() -> bool:
            found = await self.ask("SELECT jsonb_build_array(name, state) FROM powertools.step_states")
            return states.items() <= dict(found).items()

        await eventually(reached, within=within)

    async def until_beaten(self, node: Node, *, since: str) -> None:
        """Wait until the node has been beating without a gap for so long: from then on it is a witness."""

        async def beaten() -> list[Any]:
            return await self.ask(
                "SELECT 1 FROM powertools.executors WHERE node LIKE %s AND beating_since < now() - %s::interval",
                f"%.{node.pid}",
                since,
            )

        await eventually(beaten, within=30)

    async def server_passes(self, seconds: float) -> None:
        """Wait until the server's clock has moved on; for what must not happen meanwhile."""
        async with self.session() as conn:
            await conn.execute("SELECT pg_sleep(%s)", (seconds,))

    async def stop(self) -> None:
        """Stop every node that still runs."""
        await asyncio.gather(*(node.stop() for node in self.nodes))

    async def is_sound(self, *, faults: int | None = 0, deadlocks: int | None = 0) -> bool:
        """Stop the nodes and assert what must hold after anything.

        Args:
            faults: How many settle faults there were, all repaired by now; None for any number.
            deadlocks: How many the server has ended; None for any number.
        """
        await self.stop()
        violations = await self.ask("SELECT to_jsonb(v) FROM powertools.check_invariants_v1() AS v")
        assert violations == []
        found = await self.ask("SELECT to_jsonb(f) FROM powertools.settle_faults AS f")
        assert faults in (None, len(found)), found
        assert [fault for fault in found if fault["repaired_at"] is None] == []
        [ended] = await self.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert deadlocks in (None, ended)
        return True


@asynccontextmanager
async def open_cluster(dsn: str, directory: Path, *, ledger_dsn: str | None = None) -> AsyncIterator[Cluster]:
    """A cluster without nodes; at exit every node is killed that was not stopped.

    Args:
        ledger_dsn: Where the ledger is, when not in the same database.
    """
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(Ledger.create(ledger_dsn or dsn))
        no_sweeps = Settings(sweep_every=timedelta(hours=1))
        powertools = await stack.enter_async_context(Powertools.open(dsn, authorize=everybody_may, settings=no_sweeps))
        cluster = Cluster(dsn, powertools, ledger, directory, ledger_dsn=ledger_dsn)
        try:
            yield cluster
        finally:
            for node in cluster.nodes:
                if node.running:
                    await node.kill()
