"""What a history says of trouble: as it was then, by run and node, and no work where nobody works."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from oban_powertools import Workflow
from oban_powertools.states import HistoryKind, StepPhase, WorkflowId
from oban_powertools.workflows.history import History, HistoryEntry, StepTimes
from tests.support.by_hand import Hand, chain, step
from tests.support.command import powertools as run_command
from tests.support.executing import LONG_AGO, beat, die, rescue, restarted, silent, stop, take
from tests.support.troubles import ADA, project

STARTED_EARLIER = "UPDATE powertools.events SET at = at - interval '100 s' WHERE workflow_id = %s"
INSERTED_EARLIER = "UPDATE powertools.workflows SET inserted_at = inserted_at - interval '100 s' WHERE id = %s"


@pytest_asyncio.fixture(autouse=True)
async def _the_server_runs_for_long(hand: Hand) -> AsyncIterator[None]:
    async with restarted(hand, LONG_AGO):
        yield


def steps_of(page: History, change: str) -> list[HistoryEntry]:
    return [entry for entry in page.entries if entry.kind is HistoryKind.STEP and entry.change == change]


def seconds(span: timedelta | None) -> int:
    assert span is not None
    return round(span.total_seconds())


async def failing(hand: Hand, number: int) -> list[WorkflowId]:
    ids = [await hand.insert(chain(1)) for _ in range(number)]
    for workflow_id in ids:
        await hand.run(workflow_id, {"s0": ValueError("no")})
    return ids


async def test_an_incident_has_the_title_that_it_had_then(hand: Hand) -> None:
    [first, *_] = await failing(hand, 5)
    await project(hand)
    await failing(hand, 6)
    [incident] = (await project(hand)).values()
    await hand.powertools.lifeline.acknowledge_incident(incident.id, actor="ada")

    told = [
        (entry.change, entry.detail["title"].split()[0])
        for entry in (await hand.workflows.history(first)).entries
        if entry.kind is HistoryKind.INCIDENT
    ]

    assert incident.title.startswith("11 jobs")
    assert told == [("detected", "5"), ("changed", "11"), ("acknowledged", "11")]


async def test_each_run_of_a_step_has_its_number_and_its_node(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    for _ in range(3):
        await hand.run(workflow_id, {"s0": ValueError("no")})
        await hand.workflows.recover(workflow_id, **ADA)

    page = await hand.workflows.history(workflow_id)

    started = steps_of(page, "started")
    assert [(entry.generation, entry.attempt) for entry in started] == [(1, 1), (2, 1), (3, 1)]
    assert [entry.node for entry in started] == ["node", "node", "node"]
    assert [entry.generation for entry in steps_of(page, "released")] == [1, 2, 3, 4]
    assert [entry.generation for entry in page.entries if entry.change == "finished"] == [1, 2, 3]


async def test_the_runs_have_their_numbers_when_earlier_events_were_removed(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run(workflow_id, {"s0": ValueError("no")})
    await hand.powertools.events.head()
    await hand.rows("SELECT powertools.prune_events_v1('-1 min', 1000)")
    await hand.workflows.recover(workflow_id, **ADA)
    await hand.run(workflow_id, {"s0": 1})

    [started] = steps_of(await hand.workflows.history(workflow_id), "started")

    assert (started.generation, started.attempt) == (2, 1)


async def test_the_command_tells_the_runs_apart(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run(workflow_id, {"s0": ValueError("no")})
    await hand.workflows.recover(workflow_id, **ADA)
    await hand.run(workflow_id, {"s0": 1})

    told = run_command("workflow", "history", str(workflow_id), dsn=hand.dsn).out

    assert [line for line in told.splitlines() if "started" in line and "attempt 1" in line and "run 2" not in line]
    assert "started, run 2, attempt 1" in told


async def executing(hand: Hand) -> WorkflowId:
    """A step whose attempt began 100 s ago, on p1."""
    workflow = Workflow("charge")
    workflow.add("s0", step(max_attempts=9))
    workflow_id = await hand.insert(workflow)
    await take(hand, (await hand.job(workflow_id, "s0")).id, "p1", ago=100)
    await hand.powertools.events.head()
    await hand.rows(STARTED_EARLIER, workflow_id)
    await hand.rows(INSERTED_EARLIER, workflow_id)
    return workflow_id


def spent(times: StepTimes) -> dict[str, int]:
    """To ten seconds: the test itself takes some."""
    return {name: round(seconds(getattr(times, f"{name}_for")), -1) for name in ("work", "rescue")}


async def history(hand: Hand, workflow_id: WorkflowId) -> tuple[History, StepTimes]:
    page = await hand.workflows.history(workflow_id)
    [times] = page.times
    return page, times


async def test_what_a_living_executor_runs_is_work_until_now(hand: Hand) -> None:
    workflow_id = await executing(hand)
    await beat(hand, "p1")

    page, times = await history(hand, workflow_id)

    assert spent(times) == {"work": 100, "rescue": 0}
    assert (times.phase, steps_of(page, "lost")) == (StepPhase.WORK, [])


async def silent_alone(hand: Hand) -> None:
    await beat(hand, "p1")
    await silent(hand, "p1", 60)


async def dead_with_a_witness(hand: Hand) -> None:
    await die(hand, "p1")


async def stopped(hand: Hand) -> None:
    await beat(hand, "p1")
    await stop(hand, "p1", abrupt=True)
    await hand.rows("UPDATE powertools.executors SET stopped_at = stopped_at - interval '60 s' WHERE producer = 'p1'")


@pytest.mark.parametrize("ends", [silent_alone, dead_with_a_witness, stopped])
async def test_after_the_last_heartbeat_of_its_executor_nobody_works(hand: Hand, ends: Any) -> None:
    workflow_id = await executing(hand)
    await ends(hand)

    page, times = await history(hand, workflow_id)

    [lost] = steps_of(page, "lost")
    assert spent(times) == {"work": 40, "rescue": 60}
    assert (times.phase, lost.phase, lost.goes_on, lost.node) == (StepPhase.RESCUE, StepPhase.RESCUE, True, "node-a")
    assert not steps_of(page, "started")[0].goes_on
    assert lost.status == "Blocked"


async def test_what_was_rescued_was_work_until_then(hand: Hand) -> None:
    workflow_id = await executing(hand)
    await die(hand, "p1")
    await rescue(hand)
    await hand.run(workflow_id, {"s0": 1})

    page, times = await history(hand, workflow_id)

    [lost] = steps_of(page, "lost")
    assert spent(times) == {"work": 40, "rescue": 60}
    assert (lost.goes_on, lost.node, times.phase) == (False, "node-a", None)
    assert [entry.node for entry in steps_of(page, "started")] == ["node-a", "node"]


async def test_pages_go_over_what_was_lost_without_gap_or_repetition(hand: Hand) -> None:
    workflow_id = await executing(hand)
    await die(hand, "p1")
    await rescue(hand)
    await hand.run(workflow_id, {"s0": 1})
    whole = (await hand.workflows.history(workflow_id)).entries
    pages: list[HistoryEntry] = []
    after: str | None = None

    for _ in whole:
        page = await hand.workflows.history(workflow_id, after=after, limit=1)
        pages += page.entries
        after = page.next_after

    assert [(entry.at, entry.change) for entry in pages] == [(entry.at, entry.change) for entry in whole]
    assert after is None


async def test_an_executor_that_died_after_its_attempt_had_worked_on_it_to_the_end(hand: Hand) -> None:
    workflow_id = await executing(hand)
    await beat(hand, "p1")
    await hand.ack(await hand.execute(await hand.job(workflow_id, "s0"), 1))
    await die(hand, "p1")
    await silent(hand, "p1", -50)

    page, times = await history(hand, workflow_id)

    assert spent(times) == {"work": 100, "rescue": 0}
    assert steps_of(page, "lost") == []
