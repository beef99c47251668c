"""Rescue: by evidence, never by age (executors/R3 to R5); what becomes of a job; quarantine."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from oban import Job

from oban_powertools import Workflow
from oban_powertools.states import HistoryKind
from tests.support.by_hand import Hand, step
from tests.support.executing import beat, die, health, job, rescue, rescues, silent, stop, take, watching


async def plain(hand: Hand, producer: str, *, ago: float = 0, **options: Any) -> int:
    """A plain job that this producer has in hand."""
    [inserted] = await hand.oban.enqueue_many(step(**{"max_attempts": 3, **options}))
    assert inserted.id is not None
    await take(hand, inserted.id, producer, ago=ago)
    return inserted.id


async def stepped(hand: Hand, producer: str, effects: str, **options: Any) -> int:
    """The same, of a workflow's step."""
    workflow = Workflow("one")
    workflow.add("a", step(**{"max_attempts": 3, **options}), effects=effects)  # pyright: ignore[reportArgumentType, reportCallIssue]
    found = await hand.job(await hand.insert(workflow), "a")
    assert found.id is not None
    await take(hand, found.id, producer)
    return found.id


async def crash(hand: Hand, number: int, *job_ids: int) -> None:
    """Another executor takes these jobs and dies."""
    for job_id in job_ids:
        await take(hand, job_id, f"p{number}")
    await die(hand, f"p{number}")
    await rescue(hand)


async def test_a_job_of_an_executor_that_is_gone_is_available_again_with_what_happened_in_its_errors(
    hand: Hand,
) -> None:
    job_id = await plain(hand, "p1")
    await die(hand, "p1")

    rescued = await rescue(hand)

    found = await job(hand, job_id)
    assert (rescued, found["state"], found["attempt"], found["meta"]["rescued"]) == (1, "available", 1, 1)
    assert found["errors"][0]["attempt"] == 1
    assert found["errors"][0]["error"].startswith("Rescued: the executor app:oban:default:node-a:p1 was gone")
    assert await rescues(hand) == [("gone", "retried", 1)]
    assert Job(**{k: v for k, v in found.items() if k != "errors"}).state == "available"


@pytest.mark.parametrize("asked", ["workflow", "step", "around"])
async def test_what_was_asked_to_stop_is_cancelled_instead_and_every_sentence_says_so(hand: Hand, asked: str) -> None:
    inner, outer = Workflow("inner"), Workflow("outer")
    inner.add("s", step())
    outer.add_workflow("nested", inner)
    outer_id = await hand.insert(outer)
    workflow_id = (await hand.steps(outer_id))["nested"].child_id
    assert workflow_id is not None
    job_id = (await hand.job(workflow_id, "s")).id
    await take(hand, job_id, "p1")
    who = {"actor": "ada", "reason": "nobody needs it"}
    if asked == "step":
        await hand.workflows.recover(workflow_id, "s", "cancel", **who)
    else:
        await hand.workflows.request_cancel(workflow_id if asked == "workflow" else outer_id, **who)
    await die(hand, "p1")

    await rescue(hand)

    found = await job(hand, job_id)
    assert (found["state"], (await hand.states(workflow_id))["s"]) == ("cancelled", "cancelled")
    assert found["errors"][-1]["error"].endswith("it was asked to stop, and does not run again")
    page = await hand.workflows.history(workflow_id)
    assert [entry.change for entry in page.entries if entry.kind is HistoryKind.RESCUE] == ["cancelled"]


async def test_an_executor_that_is_gone_is_missing_before_and_after_the_rescue_until_it_beats_again(hand: Hand) -> None:
    await plain(hand, "p1")
    await beat(hand, "p1")
    await silent(hand, "p1", 20)
    await watching(hand, 20)
    before = (await health(hand))["p1"]

    await rescue(hand)
    after = (await health(hand))["p1"]
    await beat(hand, "p1")

    assert (before.state, before.process_alive, before.loop_responsive) == ("missing", False, False)
    assert (after.state, after.process_alive, after.loop_responsive) == ("missing", False, False)
    assert (await health(hand))["p1"].state == "healthy"


async def test_every_rescue_is_audited_as_the_systems_in_its_transaction(hand: Hand) -> None:
    again, spent = await plain(hand, "p1"), await plain(hand, "p1", max_attempts=1)
    await die(hand, "p1")

    await rescue(hand)

    records = {record.target_id: record for record in await hand.powertools.audit.list()}
    assert {target: record.action for target, record in records.items()} == {
        str(again): "job_rescue",
        str(spent): "job_discard",
    }
    record = records[str(again)]
    assert (record.actor_type, record.reason, record.outcome) == ("system", "its executor: gone", "executed")
    assert (record.before, record.after) == (
        {"state": "executing", "attempt": 1},
        {"state": "available", "attempt": 1, "max_attempts": 3},
    )
    assert await hand.one("SELECT count(DISTINCT xmin::text) FROM powertools.audit") == 1


async def test_a_job_of_any_age_is_left_alone_while_its_executor_lives(hand: Hand) -> None:
    await watching(hand, 10**6)
    await beat(hand, "p1")
    job_id = await plain(hand, "p1", ago=10**6)

    assert await rescue(hand, thorough=True, rescue_unknown_after=timedelta(seconds=1)) == 0
    assert (await job(hand, job_id))["state"] == "executing"


async def test_the_stepss_rescue_is_told_by_an_event_and_its_next_attempt_is_recorded(hand: Hand) -> None:
    job_id = await stepped(hand, "p1", "ask")
    await die(hand, "p1")
    await rescue(hand)
    [workflow_id] = [row["id"] for row in await hand.rows("SELECT id FROM powertools.workflows")]

    await hand.run(workflow_id, {"a": 7})

    await hand.rows("SELECT powertools.place_events_v1(true)")
    changes = await hand.rows(
        "SELECT change FROM powertools.events WHERE workflow_id = %s ORDER BY number", workflow_id
    )
    assert [row["change"] for row in changes] == ["released", "started", "retrying", "started", "completed", "finished"]
    assert (await job(hand, job_id))["attempt"] == 2
    assert await hand.workflows.results(workflow_id) == {"a": 7}


async def test_what_a_stopped_executor_left_is_rescued_at_once_even_without_an_attempt_left(hand: Hand) -> None:
    job_id = await plain(hand, "p1", max_attempts=1)
    await beat(hand, "p1")
    await stop(hand, "p1")

    await rescue(hand)

    found = await job(hand, job_id)
    assert (found["state"], found["attempt"], found["max_attempts"]) == ("available", 1, 2)
    assert await rescues(hand) == [("stopped", "retried", 0)]


async def test_a_job_without_an_attempt_left_whose_executor_died_is_discarded_with_an_error(hand: Hand) -> None:
    job_id = await plain(hand, "p1", max_attempts=1)
    await die(hand, "p1")

    await rescue(hand)

    found = await job(hand, job_id)
    assert found["state"] == "discarded" and found["discarded_at"] is not None
    assert found["errors"][0]["error"].endswith("it has no attempt left")


@pytest.mark.parametrize(
    ("effects", "policy", "mode", "action"),
    [
        ("ask", None, None, "retried"),
        ("repeatable", None, None, "retried"),
        ("never", None, None, "left"),
        ("ask", "ask", None, "left"),
        ("ask", "fail", None, "discarded"),
        ("never", "fail", None, "discarded"),
        ("ask", "nonsense", None, "retried"),
        ("repeatable", None, "operator", "left"),
        ("ask", "fail", "operator", "left"),
        (None, "ask", None, "left"),
        (None, "fail", None, "discarded"),
        (None, None, "operator", "left"),
        (None, None, "automatic", "retried"),
    ],
)
async def test_effects_the_workers_policy_and_the_queues_mode_are_respected(
    hand: Hand, effects: str | None, policy: str | None, mode: Any, action: str
) -> None:
    meta = {"rescue": policy} if policy else {}
    job_id = await (stepped(hand, "p1", effects, meta=meta) if effects else plain(hand, "p1", meta=meta))
    await die(hand, "p1")

    for _ in range(3):
        await rescue(hand, thorough=True, rescue={"default": mode} if mode else {})

    states = {"retried": "available", "left": "executing", "discarded": "discarded"}
    assert (await job(hand, job_id))["state"] == states[action]
    assert await rescues(hand) == [("gone", action, 1)]


async def test_a_mode_for_all_other_queues(hand: Hand) -> None:
    ids = [await plain(hand, "p1", queue=queue) for queue in ("default", "mail")]
    await die(hand, "p1")

    await rescue(hand, rescue={"*": "operator", "mail": "automatic"})

    assert [(await job(hand, job_id))["state"] for job_id in ids] == ["executing", "available"]


async def test_an_unknown_executors_attempt_is_rescued_by_age_unless_a_producer_of_obans_is_alive(hand: Hand) -> None:
    second = timedelta(seconds=1)
    uuids = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(3)]
    alive, stale, young = [await plain(hand, uuid, ago=ago) for uuid, ago in zip(uuids, (900, 900, 0), strict=True)]
    await hand.rows(
        "INSERT INTO oban_producers (uuid, node, queue, updated_at) VALUES"
        " (%s, 'n', 'default', timezone('UTC', now())), (%s, 'n', 'default', timezone('UTC', now()) - interval '61 s')",
        *uuids[:2],
    )

    quickly = await rescue(hand, rescue_unknown_after=second)
    rescued = await rescue(hand, thorough=True, rescue_unknown_after=2 * second)

    states = [(await job(hand, job_id))["state"] for job_id in (alive, stale, young)]
    assert (quickly, rescued, states) == (0, 1, ["executing", "available", "executing"])
    assert await rescues(hand) == [("unknown", "retried", 0)]
    await hand.rows("TRUNCATE oban_producers")


async def test_a_job_that_somebody_is_changing_is_left_to_the_next_look(hand: Hand) -> None:
    ids = [await plain(hand, "p1") for _ in range(2)]
    await die(hand, "p1")
    async with await psycopg.AsyncConnection.connect(hand.dsn) as other:
        await other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (ids[0],))
        first = await rescue(hand)

    assert (first, await rescue(hand), await rescue(hand)) == (1, 1, 0)


async def test_two_sweepers_at_once_rescue_once(hand: Hand) -> None:
    for _ in range(50):
        await plain(hand, "p1")
    await die(hand, "p1")
    query, args = hand.powertools._services.queries["rescue"], {"batch": 500, "thorough": False}
    async with (
        await psycopg.AsyncConnection.connect(hand.dsn) as one,
        await psycopg.AsyncConnection.connect(hand.dsn, autocommit=True) as other,
    ):
        [first] = await (await one.execute(query, args)).fetchone() or [None]
        async with asyncio.timeout(5):
            [second] = await (await other.execute(query, args)).fetchone() or [None]
        await one.commit()

    assert (first, second, await rescue(hand)) == (50, None, 0)
    assert await rescues(hand) == [("gone", "retried", 1)] * 50


async def test_what_a_gone_executors_last_fetch_still_took_is_rescued_by_a_thorough_look(hand: Hand) -> None:
    await plain(hand, "p1")
    await die(hand, "p1")
    await rescue(hand)
    late = await plain(hand, "p1")

    quick, thorough = await rescue(hand), await rescue(hand, thorough=True)

    assert (quick, thorough, (await job(hand, late))["state"]) == (0, 1, "available")


async def test_more_jobs_than_one_batch_are_all_rescued(hand: Hand) -> None:
    await hand.oban.enqueue_many(*[step(max_attempts=3) for _ in range(1200)])
    await hand.rows(
        "UPDATE oban_jobs SET state = 'executing', attempt = 1, attempted_by = '{node-a,p1}',"
        " attempted_at = timezone('UTC', now())"
    )
    await die(hand, "p1")

    assert await rescue(hand) == 1200


async def test_available_jobs_without_an_attempt_left_are_discarded_as_oban_does(hand: Hand) -> None:
    [spent] = await hand.oban.enqueue_many(step(max_attempts=1))
    await hand.rows("UPDATE oban_jobs SET attempt = 1")

    await hand.powertools._rescue()

    assert (await job(hand, spent.id))["state"] == "discarded"


async def test_obans_own_rescue_is_replaced_on_this_instance_only(hand: Hand) -> None:
    from oban._lifeline import Lifeline

    await beat(hand, "p1")
    job_id = await plain(hand, "p1", ago=3600)
    lifeline = Lifeline(leader=hand.oban._leader, query=hand.oban._query, rescue_after=1)
    hand.oban._leader._is_leader = True

    await lifeline._rescue()
    replaced = (await job(hand, job_id))["state"]
    await hand.powertools.close()
    await lifeline._rescue()

    assert (replaced, (await job(hand, job_id))["state"]) == ("executing", "available")


# Quarantine


async def test_a_job_is_quarantined_when_the_third_executor_dies_under_it_alone(hand: Hand) -> None:
    job_id = await stepped(hand, "p0", "ask", max_attempts=20)
    await die(hand, "p0")
    await rescue(hand)
    await crash(hand, 1, job_id)
    twice = (await job(hand, job_id))["state"]

    await crash(hand, 2, job_id)

    found = await job(hand, job_id)
    assert (twice, found["state"], found["attempt"]) == ("available", "suspended", 3)
    assert found["errors"][-1]["error"].endswith("quarantined, because 3 executors died while they ran it")
    assert [r[1:] for r in await rescues(hand)] == [("retried", 1), ("retried", 2), ("quarantined", 3)]
    assert await hand.violations() == []


async def test_neighbours_that_have_seen_fewer_executors_die_run_again(hand: Hand) -> None:
    poison = await plain(hand, "p0", max_attempts=20)
    await die(hand, "p0")
    await rescue(hand)
    neighbours = [await plain(hand, "p1") for _ in range(3)]
    await crash(hand, 1, poison)
    await crash(hand, 2, poison, *neighbours)

    assert (await job(hand, poison))["state"] == "suspended"
    assert {(await job(hand, neighbour))["state"] for neighbour in neighbours} == {"available"}


async def test_jobs_that_were_all_there_each_time_run_apart_until_one_dies_alone(hand: Hand) -> None:
    ids = [await plain(hand, "p0", max_attempts=20) for _ in range(4)]
    await die(hand, "p0")
    await rescue(hand)
    await crash(hand, 1, *ids)
    await crash(hand, 2, *ids)
    apart = await hand.rows("SELECT state::text, scheduled_at FROM oban_jobs ORDER BY scheduled_at")
    poison = ids[2]

    await crash(hand, 3, poison)

    gaps = [b["scheduled_at"] - a["scheduled_at"] for a, b in itertools.pairwise(apart)]
    assert {row["state"] for row in apart} == {"retryable"}
    assert {round(gap.total_seconds()) for gap in gaps} == {15}
    assert (await job(hand, poison))["state"] == "suspended"
    assert (await rescues(hand))[-1] == ("gone", "quarantined", 4)


async def test_the_same_executor_counts_once_and_a_stop_in_good_order_not_at_all(hand: Hand) -> None:
    job_id = await plain(hand, "p1", max_attempts=20)
    for _ in range(3):
        await die(hand, "p1")
        await rescue(hand)
        await take(hand, job_id, "p1")
    await stop(hand, "p1")
    await rescue(hand)

    assert [crashes for _, _, crashes in await rescues(hand)] == [1, 1, 1, 0]
    assert (await job(hand, job_id))["state"] == "available"


async def test_whoever_lets_a_job_out_of_quarantine_lets_the_count_begin_anew(hand: Hand) -> None:
    job_id = await plain(hand, "p0", max_attempts=3)
    await die(hand, "p0")
    await rescue(hand)
    await crash(hand, 1, job_id)
    await hand.rows("UPDATE oban_jobs SET max_attempts = 20")
    await crash(hand, 2, job_id)

    await hand.oban.retry_job(job_id)
    await crash(hand, 3, job_id)

    assert (await rescues(hand))[-1] == ("gone", "retried", 1)
    assert (await job(hand, job_id))["state"] == "available"


async def test_a_witness_that_came_back_rescues_nothing_by_itself(hand: Hand) -> None:
    """A pause of everybody: the first one back finds the others silent, and waits."""
    job_id = await plain(hand, "p1")
    await beat(hand, "p1", "witness")
    for producer in ("p1", "witness"):
        await silent(hand, producer, 3600)
    await beat(hand, "witness")

    assert (await rescue(hand, thorough=True), (await job(hand, job_id))["state"]) == (0, "executing")


async def test_a_rescue_counts_in_meta_what_runs_again_and_not_what_it_discards_as_obans_does(hand: Hand) -> None:
    again, given_up, told_to_fail = [
        await plain(hand, "p1", max_attempts=3),
        await plain(hand, "p1", max_attempts=1),
        await plain(hand, "p1", max_attempts=3, meta={"rescue": "fail"}),
    ]
    await die(hand, "p1")

    await rescue(hand)

    metas = {row["id"]: row["meta"] for row in await hand.rows("SELECT id, meta FROM oban_jobs")}
    assert metas == {again: {"rescued": 1}, given_up: {}, told_to_fail: {"rescue": "fail"}}


@pytest.mark.parametrize("watched", [False, True])
async def test_silent_executors_are_read_a_few_times_each_however_many_they_are(hand: Hand, watched: bool) -> None:
    """A witness was looked for anew for each: after the outage of 10,000 executors that took half a minute."""
    if watched:
        await watching(hand, 3600)
    await beat(hand, "p1")
    await silent(hand, "p1", 3000)
    await hand.rows(
        "INSERT INTO powertools.executors"
        " (executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after)"
        " SELECT 'x' || n, node, 'x' || n, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after"
        " FROM powertools.executors, generate_series(1, 100) AS n WHERE producer = 'p1'"
    )
    before = await hand.one(EXECUTORS_READ)
    gone = await hand.one("SELECT count(*) FROM powertools.gone_executors")
    read = await hand.one(EXECUTORS_READ) - before

    assert gone == (101 if watched else 0)
    assert 101 <= read <= 303


EXECUTORS_READ = (
    "SELECT (seq_tup_read + idx_tup_fetch)::int FROM pg_stat_xact_user_tables"
    " WHERE relid = 'powertools.executors'::regclass"
)
