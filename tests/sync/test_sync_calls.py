"""The synchronous calls: the asynchronous ones, run without an event loop."""

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy
from psycopg_pool import ConnectionPool
from sqlalchemy.orm import Session

from oban_powertools import Workflow
from oban_powertools.errors import (
    NotAuthorizedError,
    PartlyInsertedError,
    PowertoolsClosedError,
    SchemaMissingError,
    WaitTimeoutError,
    WorkflowNotFoundError,
)
from oban_powertools.events import WorkflowFinished
from oban_powertools.states import WorkflowId
from oban_powertools.sync import SyncCalls, open_sync_calls
from tests.support.by_hand import step


def two_steps(name: str = "order") -> Workflow:
    workflow = Workflow(name)
    first = workflow.add("first", step())
    workflow.add("second", step(), deps=[first])
    return workflow


@pytest.fixture
def calls(dsn: str) -> Iterator[SyncCalls]:
    with open_sync_calls(dsn, authorize=lambda actor, action, target: True) as calls:
        yield calls


def test_a_workflow_is_inserted_and_read(calls: SyncCalls) -> None:
    handle = calls.workflows.insert(two_steps())

    assert handle.inserted
    assert [each.name for each in calls.workflows.steps(handle.id)] == ["first", "second"]
    assert [each.id for each in calls.workflows.list()] == [handle.id]


def test_many_workflows_are_inserted_in_one_call(calls: SyncCalls) -> None:
    handles = calls.workflows.insert_many([two_steps("a"), two_steps("b")])

    assert [handle.wait for handle in handles]
    assert {each.name for each in calls.workflows.list()} == {"a", "b"}


def test_an_insert_in_slices_names_what_it_stored_before_it_failed(calls: SyncCalls) -> None:
    def large(key: str, steps: int) -> Workflow:
        workflow = Workflow("large", idempotency_key=key)
        workflow.add_many({f"s{place}": step() for place in range(steps)})
        return workflow

    calls.workflows.insert(large("taken", 1))

    with pytest.raises(PartlyInsertedError) as raised:
        calls.workflows.insert_many([large("first", 1000), large("taken", 2)], atomic=False)

    [first] = calls.workflows.list(idempotency_key="first")
    assert raised.value.workflow_ids == (first.id,)


def test_an_error_is_that_of_the_asynchronous_call(calls: SyncCalls) -> None:
    with pytest.raises(WorkflowNotFoundError, match="workflow 7"):
        calls.workflows.get("7")


def test_waiting_ends_with_the_workflow(calls: SyncCalls) -> None:
    handle = calls.workflows.insert(two_steps())
    ended = threading.Thread(target=lambda: calls.workflows.request_cancel(handle.id, actor="ada", reason="not needed"))
    ended.start()

    record = handle.wait(timeout=timedelta(seconds=20))
    ended.join()

    assert record.state == "cancelled"


def test_waiting_no_longer_than_one_wants(calls: SyncCalls) -> None:
    handle = calls.workflows.insert(two_steps())

    with pytest.raises(WaitTimeoutError):
        handle.wait(timeout=timedelta(milliseconds=1))
    with pytest.raises(WaitTimeoutError):
        calls.workflows.wait(handle.id, timeout=timedelta(0))


def test_a_subscription_gives_events_to_a_for_loop(calls: SyncCalls) -> None:
    with calls.events.subscribe_all() as events:
        handle = calls.workflows.insert(two_steps())
        calls.workflows.request_cancel(handle.id, actor="ada", reason="not needed")

        last = next(event for event in events if isinstance(event, WorkflowFinished))

    assert last.workflow_id == handle.id
    assert events.cursor == last.cursor


def test_a_subscription_waits_no_longer_than_one_wants(calls: SyncCalls) -> None:
    with calls.events.subscribe_all() as events:
        assert events.next(timeout=timedelta(milliseconds=1)) is None
        handle = calls.workflows.insert(two_steps())
        calls.workflows.request_cancel(handle.id, actor="ada", reason="not needed")
        found = events.next(timeout=timedelta(seconds=20))

    assert found is not None
    assert found.workflow_id == handle.id


def test_an_export_is_read_as_a_for_loop_reads_a_file(calls: SyncCalls) -> None:
    handle = calls.workflows.insert(two_steps())
    calls.workflows.request_cancel(handle.id, actor="ada", reason="not needed")

    lines = list(calls.audit.export(actor="ada"))

    assert [line for line in lines if "workflow_cancel" in line]


def test_a_repair_is_previewed_and_executed(calls: SyncCalls) -> None:
    handle = calls.workflows.insert(two_steps())
    preview = calls.lifeline.preview_repair(
        "ada", action="workflow_cancel", target_type="workflow", target_id=handle.id
    )
    assert preview.preview_token
    done = calls.lifeline.execute_repair("ada", preview.preview_token, "not needed any more")

    assert done.preview_id == preview.id
    assert calls.workflows.get(handle.id).state == "cancelled"


def test_without_a_policy_an_operator_changes_nothing(dsn: str) -> None:
    with open_sync_calls(dsn) as calls:
        handle = calls.workflows.insert(two_steps())
        with pytest.raises(NotAuthorizedError):
            calls.workflows.request_cancel(handle.id, actor="ada", reason="not needed")


def test_a_policy_that_awaits_refuses(dsn: str) -> None:
    async def asks_a_server(*_: object) -> bool:
        await asyncio.sleep(1)
        return True

    with open_sync_calls(dsn, authorize=asks_a_server) as calls:
        handle = calls.workflows.insert(two_steps())
        with pytest.raises(NotAuthorizedError, match="RuntimeError"):
            calls.workflows.request_cancel(handle.id, actor="ada", reason="not needed")
        assert calls.workflows.get(handle.id).state == "running"


def test_a_call_works_where_a_loop_runs_as_in_a_notebook(calls: SyncCalls) -> None:
    async def cell() -> WorkflowId:
        return calls.workflows.insert(two_steps()).id

    assert calls.workflows.get(asyncio.run(cell())).name == "order"


def test_the_schema_is_looked_for_at_once(empty_dsn: str) -> None:
    with pytest.raises(SchemaMissingError):
        open_sync_calls(empty_dsn)


def test_after_the_end_a_call_says_so(dsn: str) -> None:
    calls = open_sync_calls(dsn)
    calls.close()
    calls.close()

    with pytest.raises(PowertoolsClosedError):
        calls.workflows.list()


def test_a_pool_of_the_host_says_where_the_database_is(dsn: str) -> None:
    with ConnectionPool(dsn, min_size=1, open=True) as pool, open_sync_calls(pool) as calls:
        assert calls.workflows.list() == []


def test_threads_call_at_once(calls: SyncCalls) -> None:
    barrier = threading.Barrier(8)
    ids: list[int] = []

    def insert() -> None:
        barrier.wait()
        ids.extend(calls.workflows.insert(two_steps()).id for _ in range(5))
        calls.metrics.read()

    threads = [threading.Thread(target=insert) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(ids)) == 40
    assert len(calls.workflows.list(limit=100)) == 40


def test_a_child_of_fork_calls_on_connections_of_its_own(calls: SyncCalls) -> None:
    calls.workflows.insert(two_steps("of the parent"))
    calls.metrics.read()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            calls.workflows.insert(two_steps("of the child"))
            calls.metrics.read()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert {each.name for each in calls.workflows.list()} == {"of the parent", "of the child"}


@pytest.mark.parametrize("commits", [True, False])
def test_psycopgs_transaction_is_joined(calls: SyncCalls, dsn: str, commits: bool) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE orders (id int)")
        conn.commit()
        conn.execute("INSERT INTO orders VALUES (1)")
        calls.workflows.insert(two_steps(), conn=conn)
        assert calls.workflows.list() == []
        conn.commit() if commits else conn.rollback()

    assert len(calls.workflows.list()) == commits


def test_a_cursor_and_a_savepoint_are_joined(calls: SyncCalls, dsn: str) -> None:
    with psycopg.connect(dsn) as conn, conn.cursor() as cursor:
        with pytest.raises(ZeroDivisionError), conn.transaction():
            calls.workflows.insert(two_steps("undone"), conn=cursor)
            raise ZeroDivisionError
        with conn.transaction():
            calls.workflows.insert(two_steps("kept"), conn=cursor)

    assert [each.name for each in calls.workflows.list()] == ["kept"]


def test_on_an_autocommit_connection_a_call_commits(calls: SyncCalls, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        calls.workflows.insert(two_steps(), conn=conn)

    assert len(calls.workflows.list()) == 1


def test_a_callers_notices_and_statements_stay_the_callers(calls: SyncCalls, dsn: str) -> None:
    heard: list[str] = []
    with psycopg.connect(dsn, prepare_threshold=0) as conn:
        conn.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
        for _ in range(3):
            conn.execute("SELECT 1")
            calls.workflows.insert(two_steps(), conn=conn)
            conn.execute("DO $$ BEGIN RAISE NOTICE 'still heard'; END $$")

    assert heard == ["still heard"] * 3


def test_sqlalchemys_session_is_joined(calls: SyncCalls, dsn: str) -> None:
    engine = sqlalchemy.create_engine(dsn.replace("postgresql://", "postgresql+psycopg://", 1))
    with Session(engine) as session:
        calls.workflows.insert(two_steps("undone"), conn=session)
        session.rollback()
        calls.workflows.insert(two_steps("kept"), conn=session)
        session.commit()
    with engine.begin() as conn:
        calls.workflows.insert(two_steps("begun"), conn=conn)
    engine.dispose()

    assert {each.name for each in calls.workflows.list()} == {"kept", "begun"}


@pytest.mark.parametrize("conn", [object(), "postgresql://", 7])
def test_what_is_no_connection_is_refused_by_name(calls: SyncCalls, conn: object) -> None:
    with pytest.raises(TypeError, match=f"found .*{type(conn).__name__}"):
        calls.workflows.insert(two_steps(), conn=conn)


async def test_an_asynchronous_connection_is_refused_by_name(dsn: str) -> None:
    conn = await psycopg.AsyncConnection.connect(dsn)
    calls = open_sync_calls(dsn)
    with pytest.raises(TypeError, match=r"AsyncConnection.*asynchronous calls"):
        calls.workflows.insert(two_steps(), conn=conn)
    calls.close()
    await conn.close()
