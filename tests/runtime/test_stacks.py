"""What is told of a task: where it waits, within bounds, and nothing of its values."""

import asyncio
import threading
from typing import Any

import pytest

from oban_powertools import DisplayPolicy
from oban_powertools.runtime.stacks import LONGEST, MOST_FRAMES, Stacks, stack_of_task, stack_of_thread

KEY = "app:oban:default:node-a:p1"


def no_thread(job_id: int) -> None: ...


async def deep(levels: int) -> None:
    if levels:
        await deep(levels - 1)
    await asyncio.Event().wait()


async def waits_for_a_task() -> None:
    await asyncio.create_task(deep(0))


async def waits_for_several() -> None:
    await asyncio.gather(asyncio.sleep(0), deep(0))


async def waits_by_hand() -> None:
    async with asyncio.timeout(60):
        await asyncio.wait_for(deep(0), 60)


async def told(work: Any) -> list[str]:
    """The functions of a task that runs this, once it waits."""
    task = asyncio.create_task(work)
    for _ in range(5):
        await asyncio.sleep(0)
    stack = stack_of_task(task)
    task.cancel()
    return [line.rpartition(" ")[2] for line in stack]


@pytest.mark.parametrize(
    ("work", "functions"),
    [
        (lambda: deep(1), ["deep", "deep", "Event.wait"]),
        (waits_for_a_task, ["waits_for_a_task", "deep", "Event.wait"]),
        (waits_for_several, ["waits_for_several", "deep", "Event.wait"]),
        (waits_by_hand, ["waits_by_hand", "wait_for", "deep", "Event.wait"]),
    ],
)
async def test_a_stack_leads_to_where_the_task_waits(work: Any, functions: list[str]) -> None:
    assert await told(work()) == functions


async def test_a_stack_keeps_the_innermost_frames() -> None:
    functions = await told(deep(100))

    assert functions == ["deep"] * (MOST_FRAMES - 1) + ["Event.wait"]


async def test_a_stack_keeps_within_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    code: Any = deep.__code__.replace(co_filename="/" + "x" * 900)
    monkeypatch.setattr(deep, "__code__", code)
    task = asyncio.create_task(deep(25))
    await asyncio.sleep(0)

    stack = stack_of_task(task)
    task.cancel()

    assert LONGEST - 1000 < sum(len(line) + 1 for line in stack) <= LONGEST
    assert stack[-1].endswith("Event.wait")


def test_a_thread_that_has_ended_has_no_stack() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()

    assert thread.ident is not None
    assert stack_of_thread(thread.ident) == []


async def test_stacks_are_told_once_and_taken_back_when_nothing_hangs_any_more() -> None:
    task = asyncio.create_task(deep(0))
    await asyncio.sleep(0)
    stacks = Stacks(DisplayPolicy(), no_thread)

    first = list(stacks.changes({KEY: {7: task, 8: task}}, [7, 99], blocked=False))
    again = list(stacks.changes({KEY: {7: task}}, [7], blocked=False))
    over = list(stacks.changes({KEY: {7: task}}, [], blocked=False))
    task.cancel()

    [(executor_id, text)] = first
    assert (executor_id, '"job_id":7' in str(text), '"job_id":8' in str(text)) == (KEY, True, False)
    assert again == []
    assert over == [(KEY, None)]
    assert not stacks.tells_some


async def test_a_display_policy_hides_a_stack() -> None:
    class Nothing(DisplayPolicy):
        def show(self, kind: Any, value: Any) -> Any:
            return None

    task = asyncio.create_task(deep(0))
    await asyncio.sleep(0)
    [(_, text)] = Stacks(Nothing(), no_thread).changes({KEY: {7: task}}, [7], blocked=False)
    task.cancel()

    assert text == '[{"job_id":7,"blocks_loop":false,"stack":null}]'


async def _reads_its_own_thread() -> list[str]:
    return stack_of_thread(threading.get_ident())


async def test_the_stack_of_the_loops_thread_begins_with_its_task() -> None:
    lines = await asyncio.create_task(_reads_its_own_thread())

    assert [line.rpartition(" ")[2] for line in lines] == ["_reads_its_own_thread", "stack_of_thread"]
