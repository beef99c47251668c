"""A database whose jobs nobody runs but the test, one move at a time: the fixtures ``hand`` and ``each_hand``.

The moves are Oban's own (its executor, its acks through whatever holds the slots), so that settle
sees what it sees in production.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
from oban import Job, Oban
from psycopg.rows import class_row, dict_row
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Powertools, Settings, Workflow
from oban_powertools.config import SHARED, shared_json
from oban_powertools.database import Connection, Session
from oban_powertools.operators.services import Services
from oban_powertools.runtime.oban_attempts import GuardedExecutor
from oban_powertools.states import WorkflowId
from oban_powertools.workflows.records import StepRecord, WorkflowRecord
from tests.support.ledger import eventually

START = """
UPDATE oban_jobs
SET state = 'executing', attempt = attempt + 1, attempted_at = timezone('UTC', clock_timestamp()),
    attempted_by = '{node,00000000-0000-0000-0000-000000000000}', max_attempts = greatest(max_attempts, attempt + 1)
WHERE id = ANY (%s) AND state IN ('available', 'scheduled', 'retryable')
RETURNING *
"""

WAITING = """
SELECT count(DISTINCT pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE NOT l.granted AND a.datname = current_database()
"""

USED = """
SELECT c.oid::regclass::text AS name
FROM pg_class c
WHERE c.relkind = 'r' AND (c.relnamespace = 'powertools'::regnamespace OR c.oid = 'oban_jobs'::regclass)
  AND c.relname NOT IN ('migrations', 'sweep_parts', 'settings', 'incident_classes')
  AND (pg_relation_size(c.oid) > 0 OR c.reltuples >= 0)
"""
"""Tables with rows, now or once, or with statistics: to empty one costs a file for each of its indexes."""

UNGUARD = """
ALTER TABLE powertools.audit DISABLE TRIGGER USER;
ALTER TABLE powertools.audit_links DISABLE TRIGGER USER;
ALTER TABLE powertools.audit_seals DISABLE TRIGGER USER;
ALTER TABLE powertools.audit_chain DISABLE TRIGGER USER
"""

UNSET = """
UPDATE powertools.settings s SET value = d.value, changed_at = NULL, changed_by = NULL
FROM jsonb_each(%s::jsonb) AS d (name, value) WHERE d.name = s.name AND s.changed_at IS NOT NULL
"""

GUARD = """
ALTER TABLE powertools.audit ENABLE TRIGGER audit_link, ENABLE TRIGGER audit_of_a_preview, ENABLE TRIGGER told;
ALTER TABLE powertools.audit ENABLE ALWAYS TRIGGER audit_guard, ENABLE ALWAYS TRIGGER audit_guard_all;
ALTER TABLE powertools.audit_links ENABLE ALWAYS TRIGGER audit_guard, ENABLE ALWAYS TRIGGER audit_guard_all;
ALTER TABLE powertools.audit_seals ENABLE ALWAYS TRIGGER audit_guard, ENABLE ALWAYS TRIGGER audit_guard_all;
ALTER TABLE powertools.audit_chain ENABLE ALWAYS TRIGGER audit_guard, ENABLE ALWAYS TRIGGER audit_guard_all
"""


def everybody_may(*_: object) -> bool:
    """A host's policy."""
    return True


class Scripted:
    """A worker that ends as the test says."""

    async def process(self, job: Job) -> Any:
        outcome = job.extra["outcome"]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def backoff(self, job: Job) -> int:
        return 60


def step(args: Mapping[str, Any] | None = None, **options: Any) -> Job:
    """A job to add to a workflow; one attempt unless told otherwise."""
    return Job("tests.support.by_hand.Scripted", args=dict(args or {}), **{"max_attempts": 1, **options})


def chain(length: int, **options: Any) -> Workflow:
    """s0 -> s1 -> s2 ..."""
    workflow = Workflow("chain", **options)
    for position in range(length):
        workflow.add(f"s{position}", step(), deps=[f"s{position - 1}"] if position else [])
    return workflow


class Hand:
    """Moves jobs of one database.

    Args:
        powertools: Attached to its Oban, neither of them started.
        conn: Autocommit, for moves of our own and for looking.
    """

    def __init__(self, dsn: str, powertools: Powertools, conn: Connection) -> None:
        self.dsn = dsn
        self.powertools = powertools
        self.oban = powertools.oban
        self.workflows = powertools.workflows
        self.conn = conn

    async def insert(self, workflow: Workflow) -> WorkflowId:
        return (await self.workflows.insert(workflow)).id

    async def rows(self, query: str, *args: Any) -> list[dict[str, Any]]:
        async with self.conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query.encode(), args or None)
            return await cursor.fetchall() if cursor.description else []

    async def one(self, query: str, *args: Any) -> Any:
        """The only value of the only row."""
        [row] = await self.rows(query, *args)
        [value] = row.values()
        return value

    async def workflow(self, workflow_id: WorkflowId) -> WorkflowRecord:
        return await self.workflows.get(workflow_id)

    async def steps(self, workflow_id: WorkflowId) -> dict[str, StepRecord]:
        return {s.name: s for s in await self.workflows.steps(workflow_id)}

    async def states(self, workflow_id: WorkflowId) -> dict[str, str]:
        return {s.name: s.state.value for s in await self.workflows.steps(workflow_id)}

    async def job(self, workflow_id: WorkflowId, name: str) -> Job:
        """The job of a released step, as Oban reads it."""
        async with self.conn.cursor(row_factory=class_row(Job)) as cursor:
            await cursor.execute(
                "SELECT j.* FROM oban_jobs j JOIN powertools.steps s ON s.job_id = j.id "
                "WHERE s.workflow_id = %s AND s.name = %s",
                (workflow_id, name),
            )
            found = await cursor.fetchone()
        assert found is not None, f"step {name} has no job"
        return found

    async def start(self, *job_ids: int | None) -> list[Job]:
        """Fetch these jobs as Oban's producer does; in the order given."""
        async with self.conn.cursor(row_factory=class_row(Job)) as cursor:
            await cursor.execute(START, (list(job_ids),))
            started = {job.id: job for job in await cursor.fetchall()}
        return [started[job_id] for job_id in job_ids]

    async def execute(self, job: Job, outcome: Any) -> Any:
        """What our executor, which is Oban's, makes of a started job's outcome: its ack."""
        job.extra = {"outcome": outcome}
        return (await GuardedExecutor(job, lambda: False).execute()).action

    async def settings(self, **given: Any) -> Settings:
        """Settings that the database has from now on, as if a process and its executors had brought them."""
        settings = Settings(**given)
        await self.rows(
            "UPDATE powertools.settings s SET value = g.value, changed_at = clock_timestamp()"
            " FROM jsonb_each(%s::jsonb) AS g (name, value) WHERE g.name = s.name",
            shared_json(settings),
        )
        await self.rows(
            "UPDATE powertools.executors SET late_after = %s, missing_after = %s",
            settings.executor_late_after,
            settings.executor_missing_after,
        )
        return settings

    @property
    def session(self) -> Session:
        """The connection to look on, with our queries."""
        return Session(self.conn, self.powertools._services.queries)

    def services(self, **changes: Any) -> Services:
        """What the calls of this Powertools have, but for these."""
        return replace(self.powertools._services, **changes)

    async def ack(self, *acks: Any) -> list[int]:
        """Acknowledge through Oban, in one batch."""
        return await self.oban._query.ack_jobs(list(acks))

    async def run(self, workflow_id: WorkflowId, outcomes: Mapping[str, Any]) -> list[int]:
        """Start and finish these steps: a value to return, or an exception to raise; one batch."""
        jobs = await self.start(*[(await self.job(workflow_id, name)).id for name in outcomes])
        acks = [await self.execute(job, outcome) for job, outcome in zip(jobs, outcomes.values(), strict=True)]
        return await self.ack(*acks)

    async def run_all(self, workflow_id: WorkflowId, outcome: Any = None) -> None:
        """Finish every step that is or becomes available."""
        while names := [name for name, state in (await self.states(workflow_id)).items() if state == "available"]:
            await self.run(workflow_id, dict.fromkeys(names, outcome))

    async def sweep(self) -> tuple[int, int]:
        """Sweep until every unfinished workflow was compared: settle faults repaired, steps reconciled."""
        from oban_powertools.runtime.sweep import Swept, sweep_once

        repaired = reconciled = 0
        last, settings = Swept(), Settings(sweep_batch=100)
        while True:
            last = await sweep_once(self.session, replace(last, swept=False), settings)
            repaired, reconciled = repaired + last.repaired, reconciled + last.reconciled
            if last.at_end:
                return repaired, reconciled

    async def until_waiting(self, sessions: int) -> None:
        """Until this many sessions of the database wait for a lock; at most 10 s."""

        async def waiting() -> bool:
            return await self.one(WAITING) >= sessions

        await eventually(waiting)

    async def leave_empty(self) -> None:
        """Remove every row, and see to it that the triggers are on."""
        await self.rows("SET lock_timeout = '5s'; ALTER TABLE oban_jobs ENABLE TRIGGER USER")
        used = ", ".join(row["name"] for row in await self.rows(USED))
        await self.rows(f"{UNGUARD}; TRUNCATE {used} RESTART IDENTITY CASCADE; {GUARD}")
        await self.rows("DELETE FROM oban_producers")
        await self.rows("UPDATE powertools.sweep_parts SET succeeded_at = NULL WHERE succeeded_at IS NOT NULL")
        await self.rows(UNSET, json.dumps({name: each.to_row(each.default) for name, each in SHARED.items()}))
        await self.rows("INSERT INTO powertools.event_log (head, pruned_to) VALUES (0, 0)")
        await self.rows("INSERT INTO powertools.audit_chain (pruned_to, pruned_hash) VALUES (0, '')")

    async def violations(self) -> Sequence[dict[str, Any]]:
        return await self.rows("SELECT * FROM powertools.check_invariants_v1()")


@asynccontextmanager
async def by_hand(dsn: str, *, turbo: bool) -> AsyncIterator[Hand]:
    """A Hand on a database with both schemas, which is sound in the end and left empty."""
    async with (
        AsyncConnectionPool(dsn, min_size=1, max_size=10, open=False) as pool,
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn,
    ):
        powertools = Powertools(Oban(pool=pool), authorize=everybody_may, turbo=turbo)
        hand = Hand(dsn, powertools, conn)
        try:
            yield hand
            assert await hand.violations() == []
        finally:
            await powertools.close()
            await _asked_for_the_last_time()
            await hand.leave_empty()


async def _asked_for_the_last_time() -> None:
    """Wait until what was set aside is asked for no more: it takes the locks of ``leave_empty`` in another order."""
    asking = [task for task in asyncio.all_tasks() if task.get_name() == "powertools-acks-aside"]
    await asyncio.gather(*asking)
