"""Attempts that run far longer than their kind usually does (incidents/N1 to N3)."""

from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Incident, Workflow
from oban_powertools.explain import StepExplanation
from tests.support.by_hand import Hand, step
from tests.support.command import powertools as run_command
from tests.support.executing import beat, die, take
from tests.support.troubles import plain, project

SCRIPTED = "tests.support.by_hand.Scripted"
HUNG = f"hung_jobs:{SCRIPTED}"
COMPLETED = """
INSERT INTO oban_jobs (state, queue, worker, attempt, attempted_at, completed_at)
SELECT 'completed', 'default', %s, 1, timezone('UTC', now()) - make_interval(secs => %s), timezone('UTC', now())
FROM generate_series(1, %s)
"""


async def usually(hand: Hand, seconds: float, *, attempts: int = 100, worker: str = SCRIPTED) -> None:
    """So many attempts of a worker have taken so long."""
    await hand.rows(COMPLETED, worker, seconds, attempts)


async def running(hand: Hand, minutes: float, *, worker: str = SCRIPTED, **options: Any) -> int:
    """A job whose attempt began so many minutes ago, on an executor that beats."""
    await beat(hand, "p1")
    job_id = await plain(hand, max_attempts=9, **options)
    await hand.rows("UPDATE oban_jobs SET worker = %s WHERE id = %s", worker, job_id)
    await take(hand, job_id, "p1", ago=minutes * 60)
    return job_id


async def hung(hand: Hand) -> Incident | None:
    return (await project(hand)).get(HUNG)


@pytest.mark.parametrize(
    ("usual", "minutes", "seen"),
    [
        (1, 4.9, False),
        (1, 5.1, True),
        (60, 9.9, False),
        (60, 10.1, True),
    ],
)
async def test_an_attempt_hangs_after_ten_times_the_median_and_five_minutes_at_least(
    hand: Hand, usual: float, minutes: float, seen: bool
) -> None:
    await usually(hand, usual)
    await running(hand, minutes)

    assert (await hung(hand) is not None) == seen


@pytest.mark.parametrize(("minutes", "seen"), [(29, False), (31, True)])
async def test_a_worker_that_is_slow_now_and_then_hangs_after_thrice_its_slowest_hundredth(
    hand: Hand, minutes: float, seen: bool
) -> None:
    await usually(hand, 1, attempts=97)
    await usually(hand, 600, attempts=3)
    await running(hand, minutes)

    assert (await hung(hand) is not None) == seen


@pytest.mark.parametrize(("attempts", "seen"), [(19, False), (20, True)])
async def test_fewer_than_twenty_attempts_say_nothing_about_what_is_usual(
    hand: Hand, attempts: int, seen: bool
) -> None:
    await usually(hand, 1, attempts=attempts)
    await usually(hand, 1, attempts=500, worker="app.Other")
    await running(hand, 30)

    assert (await hung(hand) is not None) == seen


async def test_an_attempt_of_an_unknown_worker_hangs_after_two_hours(hand: Hand) -> None:
    await running(hand, 121)

    incident = await hung(hand)

    assert incident is not None
    assert (
        incident.title == f"1 job of {SCRIPTED} seems to hang: it has run for over 2 h, and what is usual is not known"
    )


async def test_the_title_says_how_long_it_usually_takes(hand: Hand) -> None:
    await usually(hand, 60)
    first, second = await running(hand, 30), await running(hand, 20)

    incident = await hung(hand)

    assert incident is not None
    assert incident.title == f"2 jobs of {SCRIPTED} seem to hang: they have run for over 10 min, usually it takes 60 s"
    assert (incident.count, incident.evidence["ids"]) == (2, [first, second])
    assert (incident.evidence["bound_seconds"], incident.evidence["usual_seconds"]) == (600, 60)


@pytest.mark.parametrize(
    ("setting", "value", "minutes"),
    [
        ("incident_hung_after", timedelta(minutes=1), 2),
        ("incident_hung_after", timedelta(hours=1), 61),
        ("incident_hung_factor", 30, 31),
    ],
)
async def test_the_bounds_are_shared_settings(hand: Hand, setting: str, value: Any, minutes: float) -> None:
    await usually(hand, 60 if setting == "incident_hung_factor" else 1)
    await running(hand, minutes)
    await running(hand, minutes / 2.2)

    incident = (await project(hand, **{setting: value})).get(HUNG)

    assert incident is not None
    assert incident.count == 1


async def test_a_worker_that_says_that_it_may_run_long_does_not_hang(hand: Hand) -> None:
    await running(hand, 600, meta={"may_run_long": True})

    assert await hung(hand) is None


async def test_a_step_whose_job_says_that_it_may_run_long_does_not_hang(hand: Hand) -> None:
    workflow = Workflow("nightly")
    workflow.add("build", step(meta={"may_run_long": True}))
    workflow_id = await hand.insert(workflow)
    await beat(hand, "p1")
    await take(hand, (await hand.job(workflow_id, "build")).id, "p1", ago=36000)

    assert await hung(hand) is None


async def test_jobs_of_an_executor_that_is_gone_are_no_hung_ones(hand: Hand) -> None:
    await running(hand, 600)
    await die(hand, "p1")

    assert [incident.partition(":")[0] for incident in await project(hand)] == ["dead_executor"]


async def test_jobs_behind_a_blocked_event_loop_are_no_hung_ones(hand: Hand) -> None:
    await running(hand, 600)
    await hand.rows("UPDATE powertools.executors SET loop_beat_at = loop_beat_at - interval '1 hour'")
    await hand.rows(
        "UPDATE powertools.executors SET stacks = %s",
        '[{"job_id": 7, "blocks_loop": true, "stack": ["app.py:1 process"]}]',
    )

    open_then = await project(hand, executor_late_after=timedelta(milliseconds=1))

    assert HUNG not in open_then


async def test_an_incident_stays_when_what_is_usual_changes_while_the_attempt_runs_on(hand: Hand) -> None:
    await usually(hand, 1)
    job_id = await running(hand, 30)
    opened = await hung(hand)

    await hand.rows("DELETE FROM oban_jobs WHERE state = 'completed'")
    stayed = await hung(hand)
    await hand.rows("UPDATE oban_jobs SET attempted_at = timezone('UTC', clock_timestamp()) WHERE id = %s", job_id)

    assert opened is not None
    assert stayed is not None
    assert (stayed.id, stayed.state) == (opened.id, "active")
    assert await hung(hand) is None


async def test_its_evidence_has_the_stacks_that_its_process_told(hand: Hand) -> None:
    job_id = await running(hand, 150)
    other = await running(hand, 150)
    told = f'[{{"job_id": {job_id}, "blocks_loop": false, "stack": ["app/mail.py:12 Send.process"]}}]'
    await hand.rows("UPDATE powertools.executors SET stacks = %s", told)

    incident = await hung(hand)

    assert incident is not None
    assert incident.evidence["ids"] == [job_id, other]
    assert incident.evidence["stacks"] == [{"job_id": job_id, "stack": ["app/mail.py:12 Send.process"]}]


async def test_the_page_of_the_incident_shows_a_stack_line_by_line(hand: Hand) -> None:
    job_id = await running(hand, 150)
    lines = '["app/run.py:1 main", "app/mail.py:12 Send.process"]'
    told = f'[{{"job_id": {job_id}, "blocks_loop": false, "stack": {lines}}}]'
    await hand.rows("UPDATE powertools.executors SET stacks = %s", told)
    await project(hand)

    page = run_command("incidents", "show", HUNG, dsn=hand.dsn).out

    stack = f"\nWHAT JOB {job_id} IS DOING\n  app/run.py:1 main\n  app/mail.py:12 Send.process\n"
    assert stack in page


async def test_explain_of_the_step_names_it_with_the_acts_that_are_legal(hand: Hand) -> None:
    workflow = Workflow("order")
    workflow.add("charge", step())
    workflow.add("mail", step())
    workflow_id = await hand.insert(workflow)
    await beat(hand, "p1")
    await take(hand, (await hand.job(workflow_id, "charge")).id, "p1", ago=9000)
    await take(hand, (await hand.job(workflow_id, "mail")).id, "p1", ago=60)
    await project(hand)

    charge = await hand.powertools.explain.workflow_step(workflow_id, "charge")
    mail = await hand.powertools.explain.workflow_step(workflow_id, "mail")

    assert named(charge) == [(HUNG, ["step_cancel", "step_complete"])]
    assert named(mail) == []


def named(explanation: StepExplanation) -> list[tuple[str, list[str]]]:
    return [(each.fingerprint, [repair.action for repair in each.repairs]) for each in explanation.incidents]


async def test_the_act_for_a_plain_job_asks_it_to_stop(hand: Hand) -> None:
    job_id = await running(hand, 150)

    incident = await hung(hand)

    assert incident is not None
    assert [(repair.action, repair.target_id) for repair in incident.repairs] == [("job_cancel", str(job_id))]


async def test_what_is_usual_is_read_by_an_index_and_only_while_an_attempt_is_old(hand: Hand) -> None:
    await usually(hand, 1, attempts=20000)
    await running(hand, 1)
    await hand.rows("ANALYZE oban_jobs")

    young = await completed_rows_read(hand)
    await running(hand, 30)
    old = await completed_rows_read(hand)

    assert young == 0
    assert 0 < old <= 5100


async def completed_rows_read(hand: Hand) -> int:
    """Rows of completed jobs that a look for hung ones reads."""
    async with hand.conn.transaction():
        await hand.rows("SET LOCAL enable_seqscan = off")
        before = await _fetched(hand)
        await hand.rows("SELECT * FROM powertools.detect_hung_jobs(true)")
        return await _fetched(hand) - before


async def _fetched(hand: Hand) -> int:
    return await hand.one("SELECT pg_stat_get_xact_tuples_fetched('oban_jobs_completed_at_index'::regclass)")
