"""Workers use the ORM, and Django's connections are cared for."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import oban.testing
import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from oban import telemetry

from oban_powertools import Powertools, Workflow, WorkflowState
from oban_powertools.integrations.django import enqueue, powertools
from tests.support.django_site import orm


@pytest.fixture(autouse=True)
def workers(migrated: str) -> Iterator[Any]:
    from oban_powertools.integrations.django import workers

    telemetry.detach(workers.__name__)
    telemetry.attach(workers.__name__, ["oban.job.exception"], workers._replace_broken)
    yield workers
    telemetry.detach(workers.__name__)
    orm.PIDS.clear()


def run(dsn: str, workers: Any) -> None:
    async def drain() -> None:
        async with Powertools.open(dsn, settings=workers.settings) as opened:
            await oban.testing.drain_queue("default", oban=opened.oban, with_safety=True)

    async_to_sync(drain)()


def test_a_plain_function_works_with_the_orm_and_its_connection_is_closed(migrated: str, workers: Any) -> None:
    workflow = Workflow("counting")
    for name in ("first", "second"):
        workflow.add(name, orm.note_pid.new())
    workflow_id = powertools.workflows.insert(workflow).id

    async def work() -> WorkflowState:
        async with Powertools.open(migrated, queues={"default": 2}, settings=workers.settings) as opened:
            return (await opened.workflows.wait(workflow_id, timeout=timedelta(seconds=30))).state

    assert async_to_sync(work)() == "completed"
    with psycopg.connect(migrated) as conn:
        alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s)"
        assert conn.execute(alive, (orm.PIDS,)).fetchone() == (0,)
    assert len(orm.PIDS) == 2


def test_a_connection_that_an_asynchronous_worker_found_broken_is_replaced(migrated: str, workers: Any) -> None:
    assert User.objects.count() == 0
    enqueue(orm.count_users.new())
    raw: Any = connection.connection
    with psycopg.connect(migrated, autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(%s, 5000)", (raw.info.backend_pid,))

    run(migrated, workers)

    (job,) = powertools.jobs.list().jobs
    assert (job.state, job.attempt) == ("completed", 2)
