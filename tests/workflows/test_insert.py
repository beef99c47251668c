"""A workflow is stored whole, once, in the caller's transaction or in one of its own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from oban import Job
from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from oban_powertools import Workflow
from oban_powertools.errors import IdempotencyConflictError, InvalidWorkflowError
from tests.support.by_hand import Hand, Scripted, chain, step
from tests.support.counting import count_executed, count_sent

STORED = """
SELECT (SELECT count(*) FROM powertools.workflows) + (SELECT count(*) FROM powertools.steps)
  + (SELECT count(*) FROM oban_jobs)
"""


@pytest.fixture
async def caller(shared_dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    """A connection as a host application has it: not in autocommit."""
    async with await AsyncConnection.connect(shared_dsn) as conn:
        yield conn
        await conn.rollback()


@pytest.fixture
async def engine(shared_dsn: str) -> AsyncIterator[AsyncEngine]:
    """SQLAlchemy on psycopg."""
    engine = create_async_engine(urlsplit(shared_dsn)._replace(scheme="postgresql+psycopg").geturl())
    yield engine
    await engine.dispose()


def keyed(key: str | None, size: int = 1) -> Workflow:
    return chain(size, idempotency_key=key)


# Faults


async def test_a_faulty_definition_writes_nothing_not_even_its_sound_neighbours(hand: Hand) -> None:
    faulty = Workflow("faulty")
    faulty.add("a", step(), deps=["nowhere", "a"])

    with pytest.raises(InvalidWorkflowError, match="2 fault"):
        await hand.workflows.insert_many([chain(2), faulty, chain(3)])

    assert await hand.one(STORED) == 0


async def test_a_database_failure_in_the_middle_leaves_nothing(hand: Hand) -> None:
    await hand.conn.execute("ALTER TABLE oban_jobs ADD CONSTRAINT no_slow CHECK (queue <> 'slow')")
    workflow = Workflow("half")
    workflow.add_many({"a": step(), "b": step(queue="slow")})
    try:
        with pytest.raises(psycopg.errors.CheckViolation, match="no_slow"):
            await hand.workflows.insert_many([chain(2), workflow])

        assert await hand.one(STORED) == 0
    finally:
        await hand.conn.execute("ALTER TABLE oban_jobs DROP CONSTRAINT no_slow")


async def test_two_workflows_may_have_the_same_name(hand: Hand) -> None:
    first, second = await hand.workflows.insert_many([chain(1), chain(1)])

    assert first.id != second.id
    assert (first.name, first.inserted) == (second.name, second.inserted) == ("chain", True)


async def test_inserting_none_is_nothing(hand: Hand) -> None:
    assert await hand.workflows.insert_many([]) == []


async def test_what_was_given_is_read_back(hand: Hand) -> None:
    tags = ('with "quotes"', "back\\slash", "com,ma", "{braces}", "")
    context = {"label": "Ü", "n": [1, None, 2.5]}
    workflow = Workflow("read", context=context, tags=tags, definition_version="7", idempotency_key="k")
    workflow.add("a", step(), effects="never")

    record = await hand.workflow(await hand.insert(workflow))

    assert (record.name, record.context, record.tags, record.definition_version) == ("read", context, tags, "7")
    assert (record.idempotency_key, record.total, record.open, record.semantics_version) == ("k", 1, 1, 2)
    assert (await hand.steps(record.id))["a"].effects == "never"


# The caller's transaction


@pytest.mark.parametrize("begun", [True, False], ids=["in a transaction", "idle"])
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
async def test_conn_joins_the_transaction_of_a_psycopg_connection(
    each_hand: Hand, caller: AsyncConnection[Any], begun: bool, commit: bool
) -> None:
    if begun:
        await caller.execute("SELECT 1")

    await each_hand.workflows.insert(chain(2), conn=caller)
    seen_by_others = await each_hand.one(STORED)
    await (caller.commit() if commit else caller.rollback())

    assert seen_by_others == 0
    assert await each_hand.one(STORED) == (4 if commit else 0)


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
async def test_conn_joins_a_transaction_block_of_an_autocommit_connection(
    hand: Hand, caller: AsyncConnection[Any], commit: bool
) -> None:
    await caller.set_autocommit(True)

    async with caller.transaction(force_rollback=not commit):
        await hand.workflows.insert(chain(2), conn=caller)
        seen_by_others = await hand.one(STORED)

    assert (seen_by_others, await hand.one(STORED)) == (0, 4 if commit else 0)


async def test_an_autocommit_connection_without_a_transaction_commits_the_whole_insert(
    hand: Hand, caller: AsyncConnection[Any]
) -> None:
    await caller.set_autocommit(True)

    await hand.workflows.insert(chain(2), conn=caller)

    assert await hand.one(STORED) == 4


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
async def test_conn_may_be_a_psycopg_cursor(each_hand: Hand, caller: AsyncConnection[Any], commit: bool) -> None:
    async with caller.cursor(row_factory=tuple_row) as cursor:
        await each_hand.workflows.insert(chain(2), conn=cursor)
        seen_by_others = await each_hand.one(STORED)
    await (caller.commit() if commit else caller.rollback())

    assert (seen_by_others, await each_hand.one(STORED)) == (0, 4 if commit else 0)


@pytest.mark.parametrize("begun", [True, False], ids=["in a transaction", "idle"])
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
async def test_conn_may_be_a_sqlalchemy_session(
    each_hand: Hand, engine: AsyncEngine, commit: bool, begun: bool
) -> None:
    async with AsyncSession(engine) as session:
        if begun:
            await session.execute(text("SELECT 1"))
        await each_hand.workflows.insert(chain(2), conn=session)
        seen_by_others = await each_hand.one(STORED)
        seen_inside = (await session.execute(text(STORED))).scalar()
        await (session.commit() if commit else session.rollback())

    assert (seen_by_others, seen_inside, await each_hand.one(STORED)) == (0, 4, 4 if commit else 0)


async def test_conn_may_be_a_sqlalchemy_connection(hand: Hand, engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await hand.workflows.insert(chain(2), conn=conn)
        seen_by_others = await hand.one(STORED)

    assert (seen_by_others, await hand.one(STORED)) == (0, 4)


async def test_a_refused_insert_leaves_the_callers_transaction_usable(hand: Hand, caller: AsyncConnection[Any]) -> None:
    await hand.insert(keyed("k", 1))
    await caller.execute("CREATE TEMP TABLE of_the_caller AS SELECT 1")

    with pytest.raises(IdempotencyConflictError):
        await hand.workflows.insert_many([chain(3), keyed("k", 2)], conn=caller)
    await hand.workflows.insert(chain(1), conn=caller)
    await caller.commit()

    assert await hand.one("SELECT count(*) FROM powertools.workflows") == 2
    assert await (await caller.execute("SELECT count(*) FROM of_the_caller")).fetchone() == (1,)


async def test_a_connection_of_another_driver_is_refused_by_name(hand: Hand) -> None:
    class Foreign:
        async def execute(self) -> None: ...

    with pytest.raises(TypeError, match=r"postgresql\+psycopg.*Foreign"):
        await hand.workflows.insert(chain(1), conn=Foreign())
    with pytest.raises(TypeError):
        await hand.workflows.insert(chain(1), conn="postgresql://")


async def test_a_json_adapter_of_the_callers_connection_does_not_reach_what_is_stored(
    hand: Hand, caller: AsyncConnection[Any]
) -> None:
    from psycopg.types.json import set_json_dumps, set_json_loads

    set_json_dumps(lambda value: '"mangled"', caller)
    set_json_loads(lambda text: "mangled", caller)
    await caller.execute("SET TimeZone = 'Asia/Tokyo'")
    workflow = Workflow("intact", context={"x": 1}, on_finished=step({"z": 1}))
    workflow.add("a", step({"y": 2}, meta={"m": 1}))

    handle = await hand.workflows.insert(workflow, conn=caller)
    await caller.commit()

    job = await hand.job(handle.id, "a")
    assert (job.args, job.meta["m"], (await hand.workflow(handle.id)).context) == ({"y": 2}, 1, {"x": 1})
    assert await hand.one("SELECT scheduled_at <= timezone('UTC', now()) FROM oban_jobs")


# Idempotency keys


async def test_the_same_key_and_definition_return_the_workflow_that_exists(each_hand: Hand) -> None:
    first = await each_hand.workflows.insert(keyed("k", 2))

    second = await each_hand.workflows.insert(keyed("k", 2))
    await each_hand.run_all(first.id)
    third = await each_hand.workflows.insert(keyed("k", 2))

    assert (first.inserted, second.inserted, third.inserted) == (True, False, False)
    assert first.id == second.id == third.id
    assert await each_hand.one("SELECT count(*) FROM oban_jobs") == 2


async def test_the_same_key_with_another_definition_is_refused_and_names_the_workflow(hand: Hand) -> None:
    first = await hand.insert(keyed("k", 1))

    with pytest.raises(IdempotencyConflictError, match=f"'k' belongs to workflow {first}"):
        await hand.insert(keyed("k", 2))

    assert await hand.one("SELECT count(*) FROM powertools.workflows") == 1


@pytest.mark.parametrize("other", [{"on_finished": step()}, {"expires_in": timedelta(hours=1)}, {"tags": ["t"]}])
async def test_another_callback_expiry_or_tag_is_the_same_definition(hand: Hand, other: dict[str, Any]) -> None:
    first = await hand.insert(keyed("k", 1))

    assert await hand.insert(chain(1, idempotency_key="k", **other)) == first


async def test_the_order_of_args_and_deps_makes_no_other_definition(hand: Hand) -> None:
    def build(order: str, inner: str, deps: tuple[str, ...]) -> Workflow:
        workflow = Workflow("ordered", idempotency_key="k")
        workflow.add_many({"a": step(), "b": step()})
        nested = {"p": 1, "q": Workflow.result("a")}
        args = {"x": Workflow.result("b"), "y": {key: nested[key] for key in inner}, "z": 3}
        workflow.add("c", Job("w", args={key: args[key] for key in order}), deps=deps)
        workflow.map("m", Scripted, over=[1], args={key: Workflow.item[key] for key in inner})
        return workflow

    first = await hand.insert(build("xyz", "pq", ("a", "b")))

    assert await hand.insert(build("zyx", "qp", ("b", "a"))) == first


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0.0, -0.0), (1, True), (0, None), ("1", 1)])
async def test_another_value_of_an_arg_is_another_definition(hand: Hand, one: Any, other: Any) -> None:
    def build(value: Any) -> Workflow:
        workflow = Workflow("valued", idempotency_key="k")
        workflow.add("a", Job("w", args={"value": value}))
        return workflow

    await hand.insert(build(one))

    with pytest.raises(IdempotencyConflictError):
        await hand.insert(build(other))


async def test_scheduled_in_makes_no_other_definition(hand: Hand) -> None:
    def later() -> Workflow:
        workflow = Workflow("later", idempotency_key="k")
        workflow.add("a", step(scheduled_in=60))
        return workflow

    first, second = await hand.workflows.insert(later()), await hand.workflows.insert(later())

    assert first.id == second.id


async def test_the_same_key_twice_in_one_insert_is_one_workflow(hand: Hand) -> None:
    handles = await hand.workflows.insert_many([keyed("k"), keyed(None), keyed("k"), keyed("l")])

    ids = [handle.id for handle in handles]
    assert [handle.inserted for handle in handles] == [True, True, False, True]
    assert (ids[0] == ids[2], len(set(ids))) == (True, 3)
    assert await hand.one("SELECT count(*) FROM oban_jobs") == 3


async def test_the_same_key_with_two_definitions_in_one_insert_writes_nothing(hand: Hand) -> None:
    with pytest.raises(IdempotencyConflictError):
        await hand.workflows.insert_many([keyed("k", 1), keyed("k", 2)])

    assert await hand.one(STORED) == 0


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
async def test_two_inserts_of_one_key_at_once_give_one_workflow(
    hand: Hand, caller: AsyncConnection[Any], commit: bool
) -> None:
    first = await hand.workflows.insert(keyed("k"), conn=caller)
    second = asyncio.create_task(hand.workflows.insert(keyed("k")))
    await hand.until_waiting(1)

    await (caller.commit() if commit else caller.rollback())

    assert (await second).inserted is not commit
    assert ((await second).id == first.id) is commit
    assert await hand.one(STORED) == 3


# How many statements


async def test_the_number_of_statements_is_the_same_for_10_1000_and_10000_steps(
    hand: Hand, caller: AsyncConnection[Any]
) -> None:
    def wide(size: int) -> Workflow:
        workflow = Workflow("wide")
        root = workflow.add("root", step())
        workflow.add_many({f"s{n}": step({"of": root.result}) for n in range(size // 2)})
        workflow.add_many({f"r{n}": step() for n in range(size // 2 - 1)})
        return workflow

    counts: list[tuple[int, int]] = []
    for size in (10, 1000, 10_000):
        sent = count_sent(caller)
        async with count_executed(caller) as executed:
            before = len(sent)
            await hand.workflows.insert(wide(size), conn=caller)
            counts.append((len(sent) - before, len(executed)))
        await caller.rollback()

    assert counts[0] == counts[1] == counts[2]
    assert counts[0][0] <= 6


async def test_the_number_of_statements_is_the_same_for_2_and_500_workflows(
    hand: Hand, caller: AsyncConnection[Any]
) -> None:
    counts: list[int] = []
    for number in (2, 500):
        sent = count_sent(caller)
        await hand.workflows.insert_many([keyed(f"k{n}", 3) for n in range(number)], conn=caller)
        counts.append(len(sent))

    assert counts[0] == counts[1] <= 6
