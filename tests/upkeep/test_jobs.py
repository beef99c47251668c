"""Jobs are found by state, queue, worker, tag, time and the text of their last error, newest first and in pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oban import Job

from oban_powertools import JobId, JobState, OperatorStatus, Workflow
from oban_powertools.errors import InvalidArgumentError, JobNotFoundError
from oban_powertools.upkeep.jobs import JobPage
from tests.support.by_hand import Hand, chain, step

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
MANY = """
INSERT INTO oban_jobs (state, queue, worker, completed_at)
SELECT 'completed', 'bulk', 'app.Bulk', now() FROM generate_series(1, %s)
"""


async def insert(hand: Hand, **columns: Any) -> JobId:
    """A plain job."""
    [job] = await hand.oban.enqueue_many([Job(columns.pop("worker", "app.Send"), args={}, **columns)])
    return JobId(job.id or 0)


async def found(hand: Hand, **filters: Any) -> list[JobId]:
    return [job.id for job in (await hand.powertools.jobs.list(**filters)).jobs]


async def three(hand: Hand) -> tuple[JobId, JobId, JobId]:
    """A plain one, one that failed and is to be tried again, and one of a step."""
    plain = await insert(hand, queue="mail", tags=["vip"])
    failed = await insert(hand, worker="tests.support.by_hand.Scripted", max_attempts=2)
    [job] = await hand.start(failed)
    await hand.ack(await hand.execute(job, ConnectionError("no route to billing, password=hunter2")))
    workflow_id = await hand.insert(chain(1))
    return plain, failed, JobId((await hand.job(workflow_id, "s0")).id or 0)


@pytest.mark.parametrize(
    ("filters", "which"),
    [
        ({}, [2, 1, 0]),
        ({"state": "retryable"}, [1]),
        ({"state": JobState.AVAILABLE}, [2, 0]),
        ({"queue": "mail"}, [0]),
        ({"worker": "app.Send"}, [0]),
        ({"tag": "vip"}, [0]),
        ({"error": "route bill"}, [1]),
        ({"state": "available", "queue": "default"}, [2]),
        ({"inserted_from": NOW - HOUR, "inserted_to": NOW + HOUR}, [2, 1, 0]),
        ({"inserted_to": NOW - HOUR}, []),
        ({"state": "executing"}, []),
    ],
)
async def test_jobs_are_found_by_what_they_are(hand: Hand, filters: dict[str, Any], which: list[int]) -> None:
    ids = await three(hand)

    assert await found(hand, **filters) == [ids[place] for place in which]


async def test_a_job_of_a_step_leads_with_the_word_of_its_step(hand: Hand) -> None:
    plain, failed, of_a_step = await three(hand)

    jobs = {job.id: job for job in (await hand.powertools.jobs.list()).jobs}

    assert (jobs[of_a_step].status, jobs[of_a_step].step) == (OperatorStatus.BLOCKED, "s0")
    assert jobs[of_a_step].blocker == "queue_has_no_executor"
    assert (jobs[plain].status, jobs[plain].workflow_id, jobs[plain].tags) == (None, None, ("vip",))
    assert (jobs[failed].state, jobs[failed].node) == (JobState.RETRYABLE, "node")


async def test_a_job_of_a_step_that_ended_is_finished(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run_all(workflow_id)

    [job] = (await hand.powertools.jobs.list()).jobs

    assert (job.status, job.blocker) == (OperatorStatus.FINISHED, None)


async def test_an_error_is_one_line_as_the_display_policy_shows_it(hand: Hand) -> None:
    await three(hand)

    [job] = (await hand.powertools.jobs.list(error="billing")).jobs

    assert job.error == "ConnectionError: no route to billing, password=[redacted]"


async def test_pages_of_jobs_follow_one_another(hand: Hand) -> None:
    ids = [await insert(hand, queue="mail") for _ in range(5)]

    first = await hand.powertools.jobs.list(queue="mail", limit=2)
    second = await hand.powertools.jobs.list(queue="mail", limit=2, before=first.next_before)
    third = await hand.powertools.jobs.list(queue="mail", limit=2, before=second.next_before)

    assert [job.id for page in (first, second, third) for job in page.jobs] == ids[::-1]
    assert (third.next_before, third.searched) == (None, None)


async def test_what_is_rare_is_found_however_old_it_is(hand: Hand) -> None:
    old = await insert(hand, queue="mail")
    await hand.rows(MANY, 11_000)

    page = await hand.powertools.jobs.list(queue="mail")

    assert (([job.id for job in page.jobs]), page.searched) == ([old], None)


async def test_a_search_that_came_to_its_bound_says_so_and_goes_on_from_there(hand: Hand) -> None:
    old = await insert(hand, queue="mail", tags=["vip"])
    await hand.rows(MANY, 11_000)

    first = await hand.powertools.jobs.list(tag="vip")
    second = await hand.powertools.jobs.list(tag="vip", before=first.next_before)

    assert (first.jobs, first.searched) == ((), 10_000)
    assert ([job.id for job in second.jobs], second.searched, second.next_before) == ([old], None, None)


async def test_the_jobs_of_a_common_state_are_the_newest_of_it(hand: Hand) -> None:
    await hand.rows(MANY, 11_000)

    page: JobPage = await hand.powertools.jobs.list(state="completed", limit=3)

    assert [job.id for job in page.jobs] == await _newest(hand, 3)
    assert page.searched is None


async def _newest(hand: Hand, count: int) -> list[JobId]:
    return [row["id"] for row in await hand.rows("SELECT id FROM oban_jobs ORDER BY id DESC LIMIT %s", count)]


@pytest.mark.parametrize(
    "filters",
    [{"state": "stuck"}, {"queue": ""}, {"inserted_to": datetime(2026, 1, 1)}, {"limit": 0}, {"before": "x"}],  # noqa: DTZ001 - that is refused
)
async def test_jobs_are_not_searched_for_by_nonsense(hand: Hand, filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        await hand.powertools.jobs.list(**filters)


async def test_a_job_that_another_step_took_over_is_a_plain_one(hand: Hand) -> None:
    workflow = Workflow("one")
    workflow.add("only", step())
    workflow_id = await hand.insert(workflow)
    copy = await hand.one(
        "INSERT INTO oban_jobs (worker, queue, args, meta) SELECT worker, queue, args, meta - 'uid' FROM oban_jobs"
        " RETURNING id"
    )

    jobs = {job.id: job.workflow_id for job in (await hand.powertools.jobs.list()).jobs}

    assert jobs == {copy: None, (await hand.job(workflow_id, "only")).id: workflow_id}
    await hand.rows("DELETE FROM oban_jobs WHERE id = %s", copy)


async def test_one_job_is_shown_with_its_args_meta_and_errors_as_the_policy_shows_them(hand: Hand) -> None:
    args, meta = {"order": 7, "api_key": "velvet"}, {"session_token": "velvet", "tenant": "north"}
    worker = "tests.support.by_hand.Scripted"
    [inserted] = await hand.oban.enqueue_many([Job(worker, args=args, meta=meta, max_attempts=3)])
    [job] = await hand.start(JobId(inserted.id or 0))
    await hand.ack(await hand.execute(job, ConnectionError("no route, password=hunter2")))

    shown = await hand.powertools.jobs.get(JobId(inserted.id or 0))

    assert shown.args == {"order": 7, "api_key": "[redacted]"}
    assert (shown.meta["tenant"], shown.meta["session_token"]) == ("north", "[redacted]")
    [error] = shown.errors
    assert (error.attempt, error.summary) == (1, "ConnectionError: no route, password=[redacted]")
    assert error.at is not None
    assert error.error.startswith("Traceback")
    assert "hunter2" not in error.error


async def test_the_errors_of_a_job_are_the_newest_20_whoever_wrote_them(hand: Hand) -> None:
    job = await insert(hand)
    await hand.rows(
        "UPDATE oban_jobs SET errors = (SELECT jsonb_agg(jsonb_build_object('attempt', n, 'error', 'no ' || n))"
        ' FROM generate_series(1, 25) AS n) || \'["odd", {"attempt": "x", "at": "yesterday"}]\' WHERE id = %s',
        job,
    )

    errors = (await hand.powertools.jobs.get(job)).errors

    assert [error.attempt for error in errors[:3]] == [None, None, 25]
    assert [error.summary for error in errors[1:3]] == ["odd", "no 25"]
    assert len(errors) == 20


async def test_jobs_are_counted_by_state_and_queue(hand: Hand) -> None:
    await three(hand)

    counts = await hand.powertools.jobs.count()
    of_mail = await hand.powertools.jobs.count(queue="mail")

    assert {state: jobs for state, jobs in counts.items() if jobs} == {JobState.AVAILABLE: 2, JobState.RETRYABLE: 1}
    assert (of_mail[JobState.AVAILABLE], of_mail[JobState.RETRYABLE]) == (1, 0)
    assert set(counts) == set(JobState)


async def test_the_count_of_a_state_stops(hand: Hand) -> None:
    await hand.rows(MANY, 11_000)

    assert (await hand.powertools.jobs.count())[JobState.COMPLETED] == 10_000


async def test_a_job_that_is_gone_is_not_found(hand: Hand) -> None:
    with pytest.raises(JobNotFoundError):
        await hand.powertools.jobs.get(JobId(9))


@pytest.mark.parametrize("word", [OperatorStatus.BLOCKED, OperatorStatus.FINISHED, OperatorStatus.RUNNING])
async def test_jobs_are_found_by_the_word_of_their_step_page_by_page(hand: Hand, word: OperatorStatus) -> None:
    done = await hand.insert(chain(1))
    await hand.run_all(done)
    for _ in range(3):
        await hand.insert(chain(1))
    everything = (await hand.powertools.jobs.list()).jobs
    expected = [job.id for job in everything if job.status is word]

    first = await hand.powertools.jobs.list(status=word.value, limit=2)
    rest = await hand.powertools.jobs.list(status=word, before=first.next_before) if first.next_before else None

    assert [job.id for job in (*first.jobs, *(rest.jobs if rest else ()))] == expected
    assert (first.searched, rest.next_before if rest else None) == (None, None)


async def test_a_word_and_a_state_that_exclude_each_other_find_nothing(hand: Hand) -> None:
    await hand.insert(chain(1))

    page = await hand.powertools.jobs.list(status=OperatorStatus.FINISHED, state=JobState.AVAILABLE)

    assert page.jobs == ()


async def test_a_job_that_a_retry_replaced_keeps_the_name_of_its_step(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run(workflow_id, {"s0": ValueError("no")})
    await hand.workflows.recover(workflow_id, actor="ada", reason="because of a test")

    page = await hand.powertools.jobs.list()

    assert [(one.workflow_id, one.step, one.status) for one in page.jobs] == [
        (workflow_id, "s0", "Blocked"),
        (workflow_id, "s0", "Finished"),
    ]
