"""A step's job that another tool runs again after the step, or its whole workflow, has ended; and a stranger's."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from oban import Oban, Snooze

import oban_powertools
from oban_powertools.errors import PowertoolsError
from oban_powertools.operators.authorization import Action
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain

ASKED: Any = {"actor": {"id": "ops-1"}, "reason": "because of a test"}
LATE = "SELECT job_id, state, result, workflow_id, position FROM powertools.late_results ORDER BY id"


async def retried(hand: Hand, job_id: int | None) -> None:
    """As Oban Web, or Oban.retry_job, does."""
    assert job_id is not None
    await Oban(pool=hand.oban._query._pool, name="other").retry_job(job_id)


async def failed(hand: Hand) -> tuple[WorkflowId, int]:
    """A chain whose first step is discarded, and the id of its job."""
    workflow_id = await hand.insert(chain(2))
    job = await hand.job(workflow_id, "s0")
    await hand.run(workflow_id, {"s0": ConnectionError("the bank does not answer")})
    assert job.id is not None
    return workflow_id, job.id


async def test_what_a_retried_job_comes_to_is_a_late_result_and_an_incident(each_hand: Hand) -> None:
    workflow_id, job_id = await failed(each_hand)

    await retried(each_hand, job_id)
    await each_hand.run(workflow_id, {"s0": 30})

    assert await each_hand.rows(LATE) == [
        {"job_id": job_id, "state": "completed", "result": {"json": 30}, "workflow_id": workflow_id, "position": 0}
    ]
    assert await each_hand.states(workflow_id) == {"s0": "discarded", "s1": "cancelled"}
    assert {i.incident_class for i in await each_hand.powertools.lifeline.project_incidents()} == {"late_result"}


async def test_an_operator_adopts_what_a_retried_job_came_to(hand: Hand) -> None:
    workflow_id, job_id = await failed(hand)
    await retried(hand, job_id)
    await hand.run(workflow_id, {"s0": 30})
    late = await hand.one("SELECT id FROM powertools.late_results")
    lifeline = hand.powertools.lifeline

    preview = await lifeline.preview_repair(
        ASKED["actor"], action=Action.LATE_RESULT_ADOPT, target_type="late_result", target_id=str(late)
    )
    await lifeline.execute_repair(ASKED["actor"], preview.preview_token or "", "the work was done")

    assert await hand.states(workflow_id) == {"s0": "completed", "s1": "available"}
    assert (await hand.steps(workflow_id))["s0"].result == 30
    assert await lifeline.project_incidents() == []


async def test_a_retried_job_that_fails_again_is_kept_and_told_of(each_hand: Hand) -> None:
    workflow_id, job_id = await failed(each_hand)

    await retried(each_hand, job_id)
    await each_hand.run(workflow_id, {"s0": ValueError("still")})

    assert [row["state"] for row in await each_hand.rows(LATE)] == ["discarded"]
    incidents = await each_hand.powertools.lifeline.project_incidents()
    assert [i.fingerprint for i in incidents] == ["outside_edit:job_retried:tests.support.by_hand.Scripted"]


async def test_a_job_that_ends_once_is_no_late_result_whatever_touches_it_afterwards(each_hand: Hand) -> None:
    _, job_id = await failed(each_hand)
    other = await each_hand.insert(chain(1))
    await each_hand.run_all(other, 1)

    await each_hand.rows("UPDATE oban_jobs SET meta = meta || '{\"seen\": true}', priority = 3")
    await each_hand.rows("UPDATE oban_jobs SET state = 'cancelled' WHERE id = %s", job_id)

    assert await each_hand.rows(LATE) == []


async def test_what_a_copy_of_a_steps_job_comes_to_is_kept(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.rows("INSERT INTO oban_jobs (worker, meta) SELECT worker, meta FROM oban_jobs")
    copy = await hand.one("SELECT max(id) FROM oban_jobs")

    [started] = await hand.start(copy)
    await hand.ack(await hand.execute(started, "of the copy"))

    [kept] = await hand.rows(LATE)
    assert (kept["job_id"], kept["result"], kept["workflow_id"]) == (copy, {"json": "of the copy"}, workflow_id)
    assert await hand.states(workflow_id) == {"s0": "available"}


async def by_retry(hand: Hand, job_id: int) -> None:
    await retried(hand, job_id)


async def by_hand(hand: Hand, job_id: int) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE id = %s", job_id)


async def by_scheduling(hand: Hand, job_id: int) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'scheduled', scheduled_at = now() WHERE id = %s", job_id)


async def by_resuming(hand: Hand, job_id: int) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'suspended' WHERE id = %s", job_id)
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE id = %s", job_id)


async def by_rescue(hand: Hand, job_id: int) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'executing' WHERE id = %s", job_id)
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE id = %s", job_id)


AGAIN = [by_retry, by_hand, by_scheduling, by_resuming, by_rescue]


@pytest.mark.parametrize("again", AGAIN, ids=lambda again: again.__name__)
async def test_a_job_of_a_cancelled_workflow_that_is_run_again_is_cancelled_at_once(
    hand: Hand, again: Callable[[Hand, int], Awaitable[None]]
) -> None:
    workflow_id = await hand.insert(chain(3))
    await hand.run(workflow_id, {"s0": None})
    jobs = [(await hand.job(workflow_id, name)).id for name in ("s0", "s1")]
    await hand.workflows.request_cancel(workflow_id, **ASKED)

    for job_id in jobs:
        assert job_id is not None
        await again(hand, job_id)

    assert await hand.rows("SELECT DISTINCT state FROM oban_jobs") == [{"state": "cancelled"}]
    assert await hand.states(workflow_id) == {"s0": "completed", "s1": "cancelled", "s2": "cancelled"}
    incidents = await hand.powertools.lifeline.project_incidents()
    expected = set() if again is by_rescue else {"outside_edit:job_restarted:tests.support.by_hand.Scripted"}
    assert {i.fingerprint for i in incidents} - {"outside_edit:job_retried:tests.support.by_hand.Scripted"} == expected


@pytest.mark.parametrize("outcome", ["snooze", "error"])
async def test_a_running_job_of_a_cancelled_workflow_gets_no_other_attempt(each_hand: Hand, outcome: str) -> None:
    workflow_id = await each_hand.insert(chain(1))
    job = await each_hand.job(workflow_id, "s0")
    await each_hand.rows("UPDATE oban_jobs SET max_attempts = 5")
    [started] = await each_hand.start(job.id)
    await each_hand.workflows.request_cancel(workflow_id, **ASKED)

    ending = Snooze(1) if outcome == "snooze" else ValueError("again")
    await each_hand.ack(await each_hand.execute(started, ending))

    assert (await each_hand.workflow(workflow_id)).state == "cancelled"
    assert await each_hand.one("SELECT state FROM oban_jobs") == "cancelled"


async def test_a_job_run_again_before_the_cancel_is_taken_back_by_it(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    done = await hand.job(workflow_id, "s0")
    await hand.run(workflow_id, {"s0": None})
    await retried(hand, done.id)

    await hand.workflows.request_cancel(workflow_id, **ASKED)

    assert await hand.rows("SELECT DISTINCT state FROM oban_jobs") == [{"state": "cancelled"}]


async def test_a_job_that_is_being_staged_while_its_workflow_is_cancelled_does_not_start(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    job = await hand.job(workflow_id, "s0")
    await hand.rows("UPDATE oban_jobs SET state = 'scheduled'")

    async with hand.oban._query._pool.connection() as stager:
        await stager.execute("UPDATE oban_jobs SET state = 'available' WHERE id = %s", (job.id,))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hand.workflows.request_cancel(workflow_id, **ASKED))
            await hand.until_waiting(1)
            await stager.commit()

    assert await hand.one("SELECT state FROM oban_jobs") == "cancelled"


async def test_a_job_of_a_workflow_that_was_recovered_runs(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.workflows.request_cancel(workflow_id, **ASKED)
    await hand.workflows.recover(workflow_id, "s0", "retry", **ASKED)

    await hand.rows("UPDATE oban_jobs SET state = 'scheduled' WHERE state = 'available'")
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE state = 'scheduled'")

    assert (await hand.states(workflow_id))["s0"] == "available"


@pytest.mark.parametrize("state", ["available", "executing", "completed", "discarded"])
async def test_a_stranger_with_the_id_of_a_vanished_job_is_not_its_steps(hand: Hand, state: str) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.rows("TRUNCATE oban_jobs RESTART IDENTITY")
    await hand.rows(
        "INSERT INTO oban_jobs (worker, state, meta) VALUES ('w', %s::oban_job_state, '{\"return\": {\"json\": 7}}')",
        state,
    )
    before = (await hand.steps(workflow_id))["s0"].state
    violated = {row["invariant"] for row in await hand.violations()}

    await hand.sweep()

    steps = await hand.steps(workflow_id)
    assert (before, violated) == ("available", {"live_step_has_its_own_job"})
    assert (steps["s0"].state, steps["s0"].cause, steps["s1"].state) == ("cancelled", "job_deleted", "cancelled")
    assert await hand.one("SELECT state FROM oban_jobs") == state


COMMANDS: dict[str, Callable[[Hand, WorkflowId], Awaitable[object]]] = {
    "cancel": lambda hand, id_: hand.workflows.request_cancel(id_, **ASKED),
    "cancel step": lambda hand, id_: hand.workflows.recover(id_, "s0", "cancel", **ASKED),
    "hold": lambda hand, id_: hand.workflows.hold(id_, hold_for=timedelta(minutes=1), **ASKED),
    "complete": lambda hand, id_: hand.workflows.complete_step(id_, "s0"),
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_command_touches_a_stranger_with_the_id_of_a_vanished_job(hand: Hand, command: str) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.rows("TRUNCATE oban_jobs RESTART IDENTITY")
    await hand.rows("INSERT INTO oban_jobs (worker) VALUES ('stranger')")

    with contextlib.suppress(PowertoolsError):
        await COMMANDS[command](hand, workflow_id)
    await hand.sweep()

    assert await hand.rows("SELECT worker, state::text, meta FROM oban_jobs") == [
        {"worker": "stranger", "state": "available", "meta": {}}
    ]


def test_wherever_a_step_and_its_job_meet_both_say_so() -> None:
    met = re.compile(r"\b[a-z]\.id = [spct]\.job_id\b|\b[spc]\.job_id = [a-z]\.id\b")
    sql = Path(oban_powertools.__file__).parent / "database" / "sql"
    alone: list[str] = []
    for path in sorted(sql.rglob("*.sql")):
        text = path.read_text()
        for found in met.finditer(text):
            around = text[max(0, found.start() - 200) : found.end() + 120]
            if "powertools.steps" in around and "is_job_of_v1" not in around:
                alone.append(f"{path.name}: {found[0]}")

    # joined by what the job says of itself; an invariant, which looks at the id alone
    assert alone == [
        "finding_jobs.sql: s.job_id = j.id",
        "invariants.sql: j.id = s.job_id",
        "jobs.sql: s.job_id = j.id",
    ]
