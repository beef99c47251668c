"""Inside a worker: the calls of its own process, and no second Powertools on its Oban."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from oban import Oban
from oban.decorators import job

from oban_powertools import Powertools, Workflow, current_powertools
from oban_powertools.errors import NotInWorkerError, OpenedInWorkerError
from oban_powertools.sync import current_sync_calls

DSN: list[str] = []
"""Where the workers connect by themselves."""


def of_one(name: str, made: Any) -> Workflow:
    workflow = Workflow(name)
    workflow.add("s0", made)
    return workflow


@job(queue="default", max_attempts=1)
async def greet() -> str:
    return "hello"


@job(queue="default", max_attempts=1)
async def inserts() -> list[Any]:
    powertools = current_powertools()
    handle = await powertools.workflows.insert(of_one("inner", GREET.new()))
    record = await handle.wait()
    return [str(record.state), await powertools.workflows.results(handle.id)]


@job(queue="default", max_attempts=1)
def inserts_plainly() -> list[Any]:
    calls = current_sync_calls()
    with calls:  # closing is its process's business
        handle = calls.workflows.insert(of_one("inner", GREET.new()))
    record = handle.wait()
    return [str(record.state), calls.workflows.results(handle.id)]


@job(queue="default", max_attempts=1)
def joins_a_transaction() -> list[Any]:
    calls = current_sync_calls()
    with psycopg.connect(DSN[0]) as conn:
        gone = calls.workflows.insert(of_one("gone", GREET.new()), conn=conn)
        conn.rollback()
        kept = calls.workflows.insert(of_one("kept", GREET.new()), conn=conn)
    return [calls.workflows.find(gone.id) is None, calls.workflows.get(kept.id).name]


@job(queue="default", max_attempts=1)
async def opens_another() -> str:
    async with Powertools.open(DSN[0]):
        return "opened"


@job(queue="default", max_attempts=1)
async def opens_one_of_another_name() -> int:
    async with Powertools.open(DSN[0], name="its_own") as other:
        return len(await other.workflows.results((await other.workflows.insert(of_one("x", GREET.new()))).id))


@job(queue="default", max_attempts=1)
async def asks_wrongly() -> list[str]:
    return [told(current_sync_calls), await asyncio.to_thread(told, current_powertools)]


@job(queue="default", max_attempts=1)
def asks_wrongly_plainly() -> str:
    return told(current_powertools)


def told(ask: Callable[[], object]) -> str:
    with pytest.raises(NotInWorkerError) as caught:
        ask()
    return str(caught.value)


GREET: Any = greet
"""Oban's decorators lead to classes that type checkers do not know."""


async def result(powertools: Powertools, made: Any) -> Any:
    handle = await powertools.workflows.insert(of_one("outer", made.new()))
    record = await handle.wait()
    [step] = await powertools.workflows.steps(handle.id)
    assert record.state == "completed", step.error
    return (await powertools.workflows.results(handle.id))["s0"]


@pytest.fixture(autouse=True)
def _dsn(dsn: str) -> None:
    DSN[:] = [dsn]


@pytest.mark.parametrize("made", [inserts, inserts_plainly])
async def test_a_worker_inserts_and_waits_with_the_calls_of_its_process(powertools: Powertools, made: Any) -> None:
    assert await result(powertools, made) == ["completed", {"s0": "hello"}]


async def test_a_plain_function_inserts_in_its_own_transaction(powertools: Powertools) -> None:
    assert await result(powertools, joins_a_transaction) == [True, "kept"]


async def test_all_plain_functions_of_a_process_share_their_calls_and_its_end_closes_them(dsn: str) -> None:
    async with Powertools.open(dsn, queues={"default": 2}) as powertools:
        await result(powertools, inserts_plainly)
        first = powertools._attachment.sync_calls
        await result(powertools, inserts_plainly)
        assert powertools._attachment.sync_calls is first

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("powertools-sync")]


async def test_the_wrong_kind_of_calls_says_which_is_the_right_one(powertools: Powertools) -> None:
    on_the_loop, in_a_thread = await result(powertools, asks_wrongly)

    assert "call current_powertools()" in on_the_loop
    assert "current_sync_calls()" in in_a_thread
    assert "current_sync_calls()" in await result(powertools, asks_wrongly_plainly)


@pytest.mark.parametrize("ask", [current_powertools, current_sync_calls])
async def test_outside_a_worker_there_are_no_calls_of_its_process(ask: Callable[[], object]) -> None:
    assert "no worker runs here" in told(ask)


async def test_another_powertools_inside_a_worker_is_refused_and_enqueue_goes_on(powertools: Powertools) -> None:
    workflow = of_one("outer", opens_another.new())
    handle = await powertools.workflows.insert(workflow)
    await handle.wait()
    [step] = await powertools.workflows.steps(handle.id)

    assert OpenedInWorkerError.__name__ in step.error["error"]
    assert "call current_powertools()" in step.error["error"]
    assert (await Oban.get_instance().enqueue(GREET.new())).id


async def test_one_of_another_name_is_its_own(powertools: Powertools) -> None:
    assert await result(powertools, opens_one_of_another_name) == 0
    assert Oban.get_instance() is powertools.oban


async def test_obans_default_instance_is_what_it_was_once_another_was_left(powertools: Powertools, dsn: str) -> None:
    async with Powertools.open(dsn) as other:
        assert Oban.get_instance() is other.oban

    assert Oban.get_instance() is powertools.oban


async def test_a_name_is_free_again_once_the_only_powertools_was_left(dsn: str) -> None:
    async with Powertools.open(dsn, name="alone"):
        pass

    with pytest.raises(RuntimeError, match="'alone' not found"):
        Oban.get_instance("alone")
