"""A worker that cannot be imported is one incident, and an explanation, while its jobs wait."""

from datetime import timedelta

from oban import Job

from oban_powertools.states import JobId
from tests.support.by_hand import Hand
from tests.support.executing import beat
from tests.support.troubles import project

WORKER = "tests.no_such_module.Worker"


async def try_to_run(hand: Hand, *job_ids: int | None) -> None:
    await hand.ack(*[await hand.execute(job, None) for job in await hand.start(*job_ids)])


async def jobs(hand: Hand, number: int) -> list[int | None]:
    return [job.id for job in await hand.oban.enqueue_many(*[Job(WORKER, max_attempts=1) for _ in range(number)])]


async def test_all_jobs_of_a_worker_are_one_incident_that_names_the_nodes_and_no_failure(hand: Hand) -> None:
    await try_to_run(hand, *await jobs(hand, 7))

    found = await project(hand)

    assert list(found) == [f"worker_not_importable:{WORKER}"]
    [incident] = found.values()
    assert (incident.count, incident.subject_id) == (7, WORKER)
    assert {key: incident.evidence[key] for key in ("nodes", "worker", "queue", "code")} == {
        "nodes": ["node"],
        "worker": WORKER,
        "queue": "default",
        "code": "worker_not_importable",
    }


async def test_it_stays_open_while_its_only_job_is_tried_again_and_is_over_when_that_runs(hand: Hand) -> None:
    ids = await jobs(hand, 1)
    await try_to_run(hand, *ids)
    await project(hand)

    await hand.start(*ids)
    tried = await project(hand)
    await hand.rows("UPDATE oban_jobs SET attempted_at = attempted_at - interval '2 min'")
    runs = await project(hand)

    assert f"worker_not_importable:{WORKER}" in tried
    assert f"worker_not_importable:{WORKER}" not in runs


async def test_its_job_is_explained_with_the_incident_and_when_it_is_tried_again(hand: Hand) -> None:
    [job_id] = await jobs(hand, 1)
    await beat(hand, "p1")
    await try_to_run(hand, job_id)
    await project(hand)

    explained = await hand.powertools.explain.job(JobId(job_id or 0))

    assert [blocker.code for blocker in explained.blockers] == ["worker_not_importable", "retry_backoff"]
    assert [incident.incident_class for incident in explained.incidents] == ["worker_not_importable"]
    retry_at = explained.blockers[1].retry_at
    assert retry_at is not None and timedelta(0) < retry_at - explained.explained_at <= timedelta(seconds=2)
