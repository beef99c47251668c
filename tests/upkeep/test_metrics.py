"""What can be read from the database: the right numbers, by index, in bounded time."""

import asyncio
from datetime import timedelta

import pytest
from oban import Job

from oban_powertools import Powertools, Workflow
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session
from oban_powertools.states import TERMINAL_STEP_STATES, StepState
from oban_powertools.upkeep.metrics import SOURCES
from tests.support.telemetry_plays import chain, counted, everything, fail, run, succeed

ASIDE = "nobody_works_on_this"


async def test_open_steps_are_counted_in_the_state_they_are_in(powertools: Powertools) -> None:
    workflow = Workflow("open")
    first = workflow.add("available", Job("tests.support.telemetry_plays.Succeed", queue=ASIDE))
    workflow.add("pending", succeed(), deps=[first])
    workflow.add("scheduled", succeed(), delay=timedelta(hours=1))
    workflow.await_signal("awaiting", signal="never", correlation_key="never")
    workflow.add_workflow("executing", _idle())
    workflow.add_workflow("later", _idle(), deps=[first])
    await powertools.workflows.insert(workflow)

    found = await _read(powertools)

    assert {state: found["open_steps", state] for state in _STATES} == {
        "pending": 3,
        "available": 2,
        "scheduled": 1,
        "executing": 1,
        "retryable": 0,
        "suspended": 0,
        "awaiting_signal": 1,
    }
    assert found["open_workflows", "running"] == 3
    assert 0 < found["oldest_waiting_step_seconds", None] < 30


async def test_jobs_that_are_no_steps_are_not_counted(powertools: Powertools) -> None:
    await powertools.oban.enqueue_many([Job("tests.support.telemetry_plays.Succeed", queue=ASIDE) for _ in range(3)])

    found = await _read(powertools)

    assert found["open_steps", "available"] == 0
    assert found["oldest_waiting_step_seconds", None] == 0


async def test_when_all_has_ended_nothing_is_open(powertools: Powertools) -> None:
    await run(powertools, chain())

    found = await _read(powertools)

    assert [found["open_steps", state] for state in _STATES] == [0] * len(_STATES)
    assert found["open_workflows", "running"] == 0


async def test_what_happened_is_counted_once_however_often_it_is_asked_for(powertools: Powertools) -> None:
    await everything(powertools)

    first, second = await asyncio.gather(powertools.metrics.count(), powertools.metrics.count())

    assert first is second
    assert first.outcomes == {"completed": 2, "failed": 1, "cancelled": 1}
    assert first.changes["completed"] == 4
    assert first.changes["discarded"] == 1


async def test_a_hop_is_told_by_each_step_that_followed_another_without_a_delay(powertools: Powertools) -> None:
    await powertools.metrics.count()
    workflow = chain(4)
    workflow.add("delayed", succeed(), deps=["step_3"], delay=timedelta(milliseconds=1))
    workflow.add("failing", fail(), deps=["step_3"])
    await run(powertools, workflow)
    await counted(powertools, 1)

    counts = await powertools.metrics.count()

    assert sum(counts.hops) == 3
    assert 0 < counts.hop_seconds < 30


async def test_counting_begins_at_the_end_of_the_log(powertools: Powertools) -> None:
    await run(powertools, chain())
    await powertools.events.head()

    counts = await powertools.metrics.count()

    assert counts.changes.total() == 0


async def test_open_settle_faults_are_counted(powertools: Powertools) -> None:
    async with powertools.connect() as conn:
        await conn.execute(
            "INSERT INTO powertools.settle_faults (job_id, workflow_id, position, state, attempt, sqlstate, message,"
            " last_fault_at) VALUES (1, 1, 0, 'completed', 1, 'XX000', '', clock_timestamp() + interval '1 hour')"
        )

    found = await _read(powertools)

    assert found["open_settle_faults", None] == 1


async def test_the_lag_is_the_age_of_what_has_no_place_in_the_log(dsn: str) -> None:
    async with Powertools.open(dsn) as powertools:
        await powertools.events.head()
        async with powertools.connect() as conn, conn.transaction(force_rollback=True):
            await conn.execute(
                "INSERT INTO powertools.event_batches (events, workflow_ids, first_numbers, last_numbers, inserted_at)"
                " VALUES (1, '{1}', '{1}', '{1}', clock_timestamp() - interval '1 minute')"
            )
            readings = await SOURCES["events"](Session(conn, Queries(Names())))

    found = {reading.name: reading.value for reading in readings}
    assert 60 <= found["event_lag_seconds"] < 90


async def test_a_source_that_takes_too_long_is_given_up_alone(powertools: Powertools) -> None:
    async with powertools.connect() as locking, locking.transaction():
        await locking.execute("LOCK TABLE powertools.waits IN ACCESS EXCLUSIVE MODE")
        readings = await powertools.metrics.read()

    assert readings.answered == {source: source != "steps" for source in SOURCES}


@pytest.mark.parametrize("query", ["backlog", "open_workflows", "event_log_state", "open_settle_faults", "tally"])
async def test_no_reading_scans_a_table_that_grows(dsn: str, query: str) -> None:
    args = {"most": 50_000, "since": 0, "page": 50_000, "bounds": [0.1, 1.0]}
    async with Powertools.open(dsn) as powertools:
        await powertools.workflows.insert_many([chain(20) for _ in range(50)])
        async with powertools.connect() as conn:
            await conn.execute("ANALYZE")
            await conn.execute("SELECT set_config('enable_seqscan', 'off', false)")
            text = Queries(Names())[query]
            plan = await (await conn.execute(b"EXPLAIN " + text, args)).fetchall()

    scanned = [line for (line,) in plan if "Seq Scan" in line and "event_log" not in line]
    assert scanned == []


async def test_a_database_that_is_gone_gives_no_reading_and_no_error(dsn: str) -> None:
    async with Powertools.open(dsn) as powertools:
        metrics = powertools.metrics

    readings = await metrics.read()

    assert not any(readings.answered.values())
    assert readings.values == []


_STATES = [state.value for state in StepState if state not in TERMINAL_STEP_STATES]


def _idle() -> Workflow:
    nested = Workflow("nested")
    nested.add("idle", Job("tests.support.telemetry_plays.Succeed", queue=ASIDE))
    return nested


async def _read(powertools: Powertools) -> dict[tuple[str, str | None], float]:
    readings = await powertools.metrics.read()
    assert all(readings.answered.values())
    return {(reading.name, reading.word): reading.value for reading in readings.values}
