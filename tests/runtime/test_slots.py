"""Oban's extension slots: taken where free, for our instances only; inserting in bulk is inserting (turbo)."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from oban import Job, Oban
from oban._extensions import _extensions
from psycopg.types.json import set_json_dumps
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from oban_powertools import Powertools
from oban_powertools import schema as schema_module
from oban_powertools.runtime.oban_hooks import SLOTS, Hooks
from oban_powertools.runtime.step import current_step
from tests.support.by_hand import Hand, by_hand, chain, step
from tests.support.counting import count_executed


@pytest.fixture
def free_slots() -> Iterator[dict[str, Callable[..., Any]]]:
    """Oban's registry with nothing in it, as in a process that has just started; put back at exit."""
    before = dict(_extensions)
    _extensions.clear()
    yield _extensions
    _extensions.clear()
    _extensions.update(before)


@pytest.fixture
async def pool(shared_dsn: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with AsyncConnectionPool(shared_dsn, min_size=1, max_size=5, open=False) as pool:
        yield pool


async def test_importing_takes_no_slot_and_attaching_takes_five(
    free_slots: dict[str, Any], pool: AsyncConnectionPool[Any]
) -> None:
    before = dict(free_slots)

    await Powertools(Oban(pool=pool, name="slots")).close()

    assert (before, tuple(free_slots)) == ({}, SLOTS)


@pytest.mark.parametrize("slot", SLOTS)
async def test_a_slot_somebody_else_holds_is_left_alone_and_workflows_go_on(
    free_slots: dict[str, Any], shared_dsn: str, slot: str, caplog: pytest.LogCaptureFixture
) -> None:
    from oban._lifeline import _rescue
    from oban._producer import _get_jobs
    from oban._query import _ack_jobs, _insert_jobs

    defaults: dict[str, Any] = {
        "executor.wrap_result": lambda job, result: result,
        "query.ack_jobs": _ack_jobs,
        "query.insert_jobs": _insert_jobs,
        "producer.get_jobs": _get_jobs,
        "lifeline.rescue": _rescue,
    }
    free_slots[slot] = defaults[slot]

    with caplog.at_level(logging.WARNING):
        async with by_hand(shared_dsn, turbo=True) as hand:
            workflow_id = await hand.insert(chain(2))
            await hand.run(workflow_id, {"s0": 1})
            await hand.run(workflow_id, {"s1": 2})
            record = await hand.workflow(workflow_id)

    assert free_slots[slot] is defaults[slot]
    assert f"extension {slot} is held by" in caplog.text
    assert record.state == "completed"


async def test_two_powertools_in_one_process_serve_their_own_databases(
    free_slots: dict[str, Any], shared_dsn: str, dsn: str
) -> None:
    async with by_hand(shared_dsn, turbo=True) as one, by_hand(dsn, turbo=False) as other:
        ids = [await hand.insert(chain(1)) for hand in (one, other)]
        for hand, workflow_id in zip((one, other), ids, strict=True):
            await hand.run(workflow_id, {"s0": hand.dsn})
        results = [await hand.workflows.results(i) for hand, i in zip((one, other), ids, strict=True)]
        metas = [(await hand.job(i, "s0")).meta for hand, i in zip((one, other), ids, strict=True)]

    assert results == [{"s0": shared_dsn}, {"s0": dsn}]
    assert ["return" in meta for meta in metas] == [False, True]
    assert len({getattr(function, "__self__", None) for function in free_slots.values()}) == 1


async def test_an_oban_without_powertools_gets_obans_own_functions(hand: Hand, pool: AsyncConnectionPool[Any]) -> None:
    plain = Oban(pool=pool, name="plain")
    async with pool.connection() as conn, count_executed(conn) as plans:
        await plain.enqueue_many(step(), step(), conn=conn)
        inserts = [plan for plan in plans if "INSERT INTO public.oban_jobs" in plan]

    jobs = await hand.start(*[row["id"] for row in await hand.rows("SELECT id FROM oban_jobs")])
    acked = await plain._query.ack_jobs([await hand.execute(job, None) for job in jobs])

    assert len(inserts) == 2
    assert sorted(acked) == sorted(job.id or 0 for job in jobs)


async def test_closing_gives_the_instance_back_to_oban(hand: Hand) -> None:
    await hand.powertools.close()

    async with hand.oban._query._pool.connection() as conn, count_executed(conn) as plans:
        await hand.oban.enqueue_many(step(), step(), conn=conn)

    assert len([plan for plan in plans if "INSERT INTO public.oban_jobs" in plan]) == 2


async def test_what_open_attached_is_detached_at_its_exit(free_slots: dict[str, Any], dsn: str) -> None:
    async with Powertools.open(dsn):
        [hooks] = {function.__self__ for function in free_slots.values()}
        assert isinstance(hooks, Hooks)
        attached = len(hooks._attachments)

    assert (attached, len(hooks._attachments)) == (1, 0)


async def test_where_our_schema_was_uninstalled_obans_own_functions_take_over(
    free_slots: dict[str, Any], dsn: str
) -> None:
    """invariant/I6: whatever happens to us, the queue goes on."""
    async with AsyncConnectionPool(dsn, min_size=1, open=False) as pool:
        oban = Oban(pool=pool, name="uninstalled")
        powertools = Powertools(oban)
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            await schema_module.uninstall(conn)
            hand = Hand(dsn, powertools, conn)

            inserted = await oban.enqueue_many(step(), step(meta={"workflow_id": 1, "position": 0}))
            jobs = await hand.start(*[job.id for job in inserted])
            acked = await hand.ack(*[await hand.execute(job, {"x": 1}) for job in jobs])
            states = await hand.rows("SELECT DISTINCT state::text FROM oban_jobs")
        await powertools.close()

    assert (sorted(acked), states) == (sorted(job.id or 0 for job in inserted), [{"state": "completed"}])


# Inserting in bulk

SOON = datetime.now(UTC).replace(microsecond=7) + timedelta(hours=1)


def many_jobs() -> list[Job]:
    return [
        step(),
        step({"nested": [1, None, {"ü": 'quote " back\\slash'}]}, queue="other", priority=9, max_attempts=32_767),
        step(tags=["b", "A", "with space", 'q"uote', "{brace}"], meta={"m": [1]}),
        step(scheduled_at=SOON),
        step(scheduled_at=SOON.astimezone(timezone(timedelta(hours=9)))),
        step(scheduled_in=3600),
        step(state="suspended"),
        step(state="scheduled", scheduled_at=SOON - timedelta(days=2)),
        step(inserted_at=SOON - timedelta(days=5)),
        Job("worker", args={1: "a number as key", "tuple": (1, 2)}),  # pyright: ignore[reportArgumentType]
    ]


FIELDS = "state queue worker attempt max_attempts priority args meta tags errors attempted_by inserted_at scheduled_at"
INSERTED = f"SELECT {', '.join(FIELDS.split())} FROM oban_jobs ORDER BY id"


async def test_a_bulk_insert_equals_obans_insert_field_by_field(hand: Hand) -> None:
    ours = await hand.oban.enqueue_many(*many_jobs())
    rows = await hand.rows(INSERTED)
    await hand.powertools.close()
    await hand.rows("TRUNCATE oban_jobs")
    theirs = await hand.oban.enqueue_many(*many_jobs())

    assert _to_the_hour(rows) == _to_the_hour(await hand.rows(INSERTED))
    assert [_fields(job) for job in ours] == [_fields(job) for job in theirs]
    assert [job.id for job in ours] == sorted(job.id or 0 for job in ours)


def _to_the_hour(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: _near(value) for key, value in row.items()} for row in rows]


def _near(value: Any) -> Any:
    """An instant given is exact; now() is within a minute."""
    if not isinstance(value, datetime) or value.microsecond == 7:
        return value
    return round((value - datetime.now(UTC).replace(tzinfo=None)) / timedelta(minutes=10))


def _fields(job: Job) -> dict[str, Any]:
    fields = {name: getattr(job, name) for name in ("queue", "state", "worker", "args", "scheduled_at", "inserted_at")}
    return {key: _near(value) for key, value in fields.items()} | {"types": [type(v) for v in fields.values()]}


async def test_what_oban_refuses_to_insert_is_refused_and_nothing_is_inserted(each_hand: Hand) -> None:
    for unstorable in ({"at": SOON}, {"x": float("nan")}, {"x": "\0"}):
        with pytest.raises((TypeError, psycopg.DataError)):
            await each_hand.oban.enqueue_many(step(), step(unstorable))

    assert await each_hand.one("SELECT count(*) FROM oban_jobs") == 0


async def test_a_bulk_insert_writes_json_as_the_pool_it_goes_through(shared_dsn: str) -> None:
    async def configure(conn: psycopg.AsyncConnection[Any]) -> None:
        set_json_dumps(lambda value: json.dumps(value, default=str), conn)

    async with by_hand(shared_dsn, turbo=True) as hand:
        async with AsyncConnectionPool(shared_dsn, min_size=1, configure=configure, open=False) as pool:
            powertools = Powertools(Oban(pool=pool, name="configured"))
            async with powertools:
                await powertools.oban.enqueue(step({"at": SOON}))
            await powertools.close()

        assert await hand.one("SELECT args FROM oban_jobs") == {"at": str(SOON)}


@pytest.mark.notified
async def test_a_bulk_insert_is_one_statement_and_one_wake_up_a_queue(
    hand: Hand, pool: AsyncConnectionPool[Any]
) -> None:
    jobs = [step(queue=f"q{n % 3}") for n in range(300)] + [step(queue="later", scheduled_at=SOON)]

    async with await psycopg.AsyncConnection.connect(hand.dsn, autocommit=True) as listener:
        await listener.execute('LISTEN "public.oban_insert"')
        async with pool.connection() as conn, count_executed(conn) as plans:
            await hand.oban.enqueue_many(*jobs, conn=conn)
        woken = [json.loads(notice.payload)["queue"] async for notice in listener.notifies(timeout=5, stop_after=3)]

    assert sorted(woken) == ["q0", "q1", "q2"]
    assert len([plan for plan in plans if "INSERT INTO public.oban_jobs" in plan]) == 1


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
async def test_a_bulk_insert_joins_the_callers_transaction(each_hand: Hand, commit: bool) -> None:
    engine = create_async_engine(urlsplit(each_hand.dsn)._replace(scheme="postgresql+psycopg").geturl())
    async with await psycopg.AsyncConnection.connect(each_hand.dsn) as conn, AsyncSession(engine) as session:
        await each_hand.oban.enqueue(step(), conn=conn)
        await each_hand.oban.enqueue(step(), conn=conn.cursor())
        await each_hand.oban.enqueue(step(), conn=session)
        seen_by_others = await each_hand.one("SELECT count(*) FROM oban_jobs")
        for transaction in (conn, session):
            await (transaction.commit() if commit else transaction.rollback())
    await engine.dispose()

    assert (seen_by_others, await each_hand.one("SELECT count(*) FROM oban_jobs")) == (0, 3 if commit else 0)


async def test_a_connection_that_only_oban_understands_is_left_to_oban(each_hand: Hand) -> None:
    class Wrapped:
        async def execute(self, *args: Any) -> Any:
            return await each_hand.conn.execute(*args)

    await each_hand.oban.enqueue(step({"x": 1}), conn=Wrapped())

    assert await each_hand.one("SELECT args FROM oban_jobs") == {"x": 1}


async def test_a_job_outside_a_workflow_is_in_no_step(hand: Hand) -> None:
    from oban._executor import _current_job

    from oban_powertools.errors import NotInStepError

    token = _current_job.set(await hand.oban.enqueue(step()))
    try:
        with pytest.raises(NotInStepError, match="only inside a worker that runs a step's job"):
            current_step()
    finally:
        _current_job.reset(token)
