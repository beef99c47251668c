"""The bulk ack: Oban's ack in one statement, in which what cannot be stored fails alone (oban/O2, fault/F17)."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from oban import Cancel, Job, Record, Snooze
from oban._executor import Executor

from oban_powertools import Workflow
from oban_powertools.runtime.ack_statements import store_outcomes
from oban_powertools.runtime.acks import storable
from tests.support.breaking import refusing
from tests.support.by_hand import Hand, chain, step
from tests.support.counting import count_sent

COLUMNS = (
    "state attempt max_attempts errors meta scheduled_at completed_at cancelled_at discarded_at attempted_at "
    "attempted_by priority tags args queue worker"
).split()


def alone(**jobs: Job) -> Workflow:
    """Steps without edges."""
    workflow = Workflow("alone")
    workflow.add_many(jobs)
    return workflow


async def test_the_ack_leaves_a_plain_job_as_obans_own_ack_does(hand: Hand) -> None:
    from oban._query import _ack_jobs

    outcomes = [
        None,
        "dropped",
        Record({"a": [1]}),
        Cancel("why"),
        Snooze(60),
        Snooze(1.5, meta={"x": {"y": 1}}),  # pyright: ignore[reportArgumentType]
        ValueError("é"),
    ]
    jobs = [step(max_attempts=attempts, meta={"mine": 1, "x": 0}) for _ in outcomes for attempts in (1, 2)] * 1
    ours = await hand.oban.enqueue_many(*jobs)
    theirs = await hand.oban.enqueue_many(*[step(max_attempts=job.max_attempts, meta=job.meta) for job in jobs])

    async def acks_of(inserted: list[Job]) -> list[Any]:
        started = await hand.start(*[job.id for job in inserted])
        return [await hand.execute(job, outcomes[n // 2]) for n, job in enumerate(started)]

    await hand.ack(*await acks_of(ours))
    await _ack_jobs(hand.oban._query, await acks_of(theirs))

    rows = await hand.rows("SELECT * FROM oban_jobs ORDER BY id")
    pairs = list(zip(rows[: len(ours)], rows[len(ours) :], strict=True))
    assert [_comparable(a) for a, _ in pairs] == [_comparable(b) for _, b in pairs]


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Instants as whether they are set, and the schedule as seconds from now, in steps of 10."""
    now = datetime.now(UTC).replace(tzinfo=None)
    instants = {key: bool(row[key]) for key in COLUMNS if key.endswith("_at")}
    errors = [{"attempt": error["attempt"], "error": error["error"].splitlines()[-1]} for error in row["errors"]]
    ahead = round((row["scheduled_at"] - now).total_seconds() / 10)
    return {key: row[key] for key in COLUMNS} | instants | {"errors": errors, "scheduled_at": ahead}


async def test_a_batch_is_one_statement(hand: Hand) -> None:
    workflow_id = await hand.insert(alone(**{f"s{n}": step() for n in range(50)}))
    jobs = await hand.start(*[s.job_id for s in (await hand.steps(workflow_id)).values()])
    acks = [await hand.execute(job, n) for n, job in enumerate(jobs)]
    outcomes = [storable(ack, lambda attempt, most: 60) for ack in acks]
    sent = count_sent(hand.conn)

    await store_outcomes(hand.session, outcomes)

    assert ["ack_jobs_v1" in text for text in sent] == [True]
    assert (await hand.workflow(workflow_id)).state == "completed"


async def test_an_ack_of_an_earlier_attempt_is_refused(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(alone(a=step(max_attempts=3), b=step()))
    job_id = (await each_hand.job(workflow_id, "a")).id
    [zombie] = await each_hand.start(job_id)
    await each_hand.rows("UPDATE oban_jobs SET state = 'available' WHERE id = %s", job_id)
    [rescued] = await each_hand.start(job_id)

    late = await each_hand.ack(await each_hand.execute(zombie, "late"))
    states = await each_hand.states(workflow_id)
    right = await each_hand.ack(await each_hand.execute(rescued, "right"))

    assert (late, states["a"], right) == ([], "executing", [job_id])
    assert await each_hand.workflows.results(workflow_id) == {"a": "right"}


@pytest.mark.parametrize("zombie_first", [True, False])
async def test_two_attempts_of_one_job_in_one_batch_record_the_result_of_the_last(
    each_hand: Hand, zombie_first: bool
) -> None:
    """Rescued by age, a job runs again beside itself, even on the same node (oban/O6)."""
    workflow_id = await each_hand.insert(alone(a=step(max_attempts=3)))
    job_id = (await each_hand.job(workflow_id, "a")).id
    [zombie] = await each_hand.start(job_id)
    await each_hand.rows("UPDATE oban_jobs SET state = 'available'")
    [rescued] = await each_hand.start(job_id)
    acks = [await each_hand.execute(zombie, "zombie"), await each_hand.execute(rescued, "right")]

    acked = await each_hand.ack(*(acks if zombie_first else acks[::-1]))

    assert acked == [job_id]
    assert await each_hand.workflows.results(workflow_id) == {"a": "right"}


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (ValueError("nul \0 and \ud800 end"), "ValueError: nul \\u0000 and \\ud800 end"),
        (Cancel("nul \0"), "nul \\u0000"),
        (Cancel("\ud800"), "\\ud800"),
    ],
)
async def test_text_that_postgresql_cannot_store_is_escaped_visibly(hand: Hand, outcome: Any, kept: str) -> None:
    workflow_id = await hand.insert(alone(bad=step(), good=step()))

    await hand.run(workflow_id, {"bad": outcome, "good": 1})

    steps = await hand.steps(workflow_id)
    assert kept in steps["bad"].error["error"]
    assert steps["bad"].state == ("cancelled" if isinstance(outcome, Cancel) else "discarded")
    assert steps["good"].state == "completed"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Snooze(3_000_000_000), "it is to run again in 3000000000, expected a number of seconds up to 2147483647"),
        (Snooze("x"), "it is to run again in 'x'"),  # pyright: ignore[reportArgumentType]
        (Snooze(math.nan), "it is to run again in nan"),  # pyright: ignore[reportArgumentType]
        (Snooze(timedelta(1)), "it is to run again in datetime.timedelta(days=1)"),  # pyright: ignore[reportArgumentType]
        (Snooze(1, meta={"x": math.nan}), "meta.x: nan is not a JSON number"),
        (Snooze(1, meta={"at": datetime(2026, 1, 1, tzinfo=UTC)}), "meta.at: datetime is not JSON-safe"),
        (Snooze(1, meta={"x": "\0"}), "meta.x: the text holds a NUL character"),
        (Snooze(1, meta={1: "x"}), "key 1 is int; JSON keys are text"),
    ],
)
@pytest.mark.parametrize(("attempts", "state"), [(1, "discarded"), (2, "retryable")])
async def test_an_outcome_that_cannot_be_stored_fails_its_attempt_alone_and_says_why(
    hand: Hand, outcome: Any, said: str, attempts: int, state: str
) -> None:
    workflow_id = await hand.insert(alone(a=step(), bad=step(max_attempts=attempts), z=step()))

    acked = await hand.run(workflow_id, {"a": 1, "bad": outcome, "z": 2})

    steps = await hand.steps(workflow_id)
    assert len(acked) == 3
    assert [s.state for s in steps.values()] == ["completed", state, "completed"]
    assert said in steps["bad"].error["error"]
    assert steps["bad"].error["attempt"] == 1


class ImpatientlyScripted:
    """A worker whose backoff is nonsense."""

    async def process(self, job: Job) -> Any:
        raise ValueError("the cause")

    def backoff(self, job: Job) -> Any:
        return "soon"


async def test_a_backoff_that_is_no_number_hides_neither_itself_nor_the_error(hand: Hand) -> None:
    job = Job(f"{__name__}.ImpatientlyScripted", max_attempts=2)
    workflow_id = await hand.insert(alone(bad=job, good=step()))

    await hand.run(workflow_id, {"bad": None, "good": 1})

    bad = (await hand.steps(workflow_id))["bad"]
    assert bad.state == "retryable"
    assert "backoff() returned 'soon'" in bad.error["error"]
    assert "ValueError: the cause" in bad.error["error"]


async def test_a_row_that_the_database_refuses_in_any_form_holds_up_no_other(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    workflow_id = await hand.insert(alone(a=step(), bad=step(), z=step()))

    async with refusing(hand, "oban_jobs", "UPDATE", "OLD.state = 'executing' AND NEW.meta ->> 'step' = 'bad'"):
        await hand.run(workflow_id, {"a": 1, "bad": 2, "z": 3})

    assert await hand.states(workflow_id) == {"a": "completed", "bad": "executing", "z": "completed"}
    assert "broken on purpose" in caplog.text


async def test_a_row_that_is_refused_only_as_it_is_fails_its_attempt(hand: Hand) -> None:
    workflow_id = await hand.insert(alone(a=step(), bad=step(max_attempts=2), z=step()))
    condition = "NEW.state = 'completed' AND NEW.meta ->> 'step' = 'bad'"

    async with refusing(hand, "oban_jobs", "UPDATE", condition):
        acked = await hand.run(workflow_id, {"a": 1, "bad": 2, "z": 3})

    steps = await hand.steps(workflow_id)
    assert (len(acked), steps["bad"].state) == (3, "retryable")
    assert "the outcome 'completed' cannot be stored: broken on purpose" in steps["bad"].error["error"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"at": [datetime(2026, 1, 1, tzinfo=UTC)]}, "result.at[0]: datetime is not JSON-safe; pass value.isoformat()"),
        ((1, 2), "result: tuple is not JSON-safe"),
        (math.nan, "result: nan is not a JSON number"),
        ("\0", "result: the text holds a NUL character"),
        ("x" * 1024 * 1024, "result: 1048578 bytes of JSON, at most 1048576 are allowed"),
        ("é" * 512 * 1024, "result: 1048578 bytes of JSON, at most 1048576 are allowed"),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_a_result_that_cannot_be_stored_fails_its_attempt_with_that_message(
    each_hand: Hand, value: Any, said: str
) -> None:
    workflow_id = await each_hand.insert(alone(bad=step(max_attempts=2), good=step()))

    await each_hand.run(workflow_id, {"bad": value, "good": 1})

    steps = await each_hand.steps(workflow_id)
    assert (steps["bad"].state, steps["good"].state) == ("retryable", "completed")
    assert f"the return value cannot be stored: {said}" in steps["bad"].error["error"]


async def test_a_result_of_exactly_the_limit_is_stored(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(alone(a=step()))
    value = "x" * (1024 * 1024 - 2)

    await each_hand.run(workflow_id, {"a": value})

    assert await each_hand.workflows.results(workflow_id) == {"a": value}


async def test_with_turbo_a_result_is_written_once(hand: Hand) -> None:
    workflow_id = await hand.insert(alone(a=step()))

    await hand.run(workflow_id, {"a": {"big": 1}})

    meta = (await hand.job(workflow_id, "a")).meta
    assert not {"return", "recorded"} & meta.keys()


async def test_what_changes_in_a_result_after_it_was_returned_is_not_stored(hand: Hand) -> None:
    workflow_id = await hand.insert(alone(a=step()))
    [job] = await hand.start((await hand.job(workflow_id, "a")).id)
    value: list[Any] = ["é", 1e16]
    ack = await hand.execute(job, value)
    value.append({1, 2})

    await hand.ack(ack)

    assert await hand.workflows.results(workflow_id) == {"a": ["é", 1e16]}


@pytest.mark.parametrize(
    "outcome",
    [Snooze(2**31), Snooze(math.nan), Snooze(True), Snooze(60, meta={"at": datetime(2026, 1, 1, tzinfo=UTC)})],  # pyright: ignore[reportArgumentType]
    ids=["too far", "no number", "a truth value", "a note"],
)
async def test_obans_executor_and_ours_refuse_an_outcome_for_the_same_reason(hand: Hand, outcome: Any) -> None:
    [guarded, plain] = await hand.start(*[job.id for job in await hand.oban.enqueue_many(step(), step())])
    ours = (await hand.execute(guarded, outcome)).error["text"]
    plain.extra = {"outcome": outcome}
    obans = storable((await Executor(plain).execute()).action, lambda attempt, most: 60).error  # pyright: ignore[reportArgumentType]

    assert ours.rpartition("cannot be stored: ")[2] == (obans or {})["text"].rpartition("cannot be stored: ")[2]


@pytest.mark.parametrize("meta", [{}, {"workflow_id": 7, "position": 0}, {"workflow_id": "x", "uid": 1}])
async def test_a_plain_jobs_return_value_is_none_of_ours(each_hand: Hand, meta: dict[str, Any]) -> None:
    plain, recorded = await each_hand.oban.enqueue_many(step(meta=meta), step())
    started = await each_hand.start(plain.id, recorded.id)

    await each_hand.ack(
        await each_hand.execute(started[0], (1, 2)), await each_hand.execute(started[1], Record({"a": 1}))
    )

    rows = await each_hand.rows("SELECT state::text, meta FROM oban_jobs ORDER BY id")
    assert rows[0] == {"state": "completed", "meta": meta}
    assert rows[1]["meta"]["recorded"] is True
    assert isinstance(rows[1]["meta"]["return"], str)


async def test_an_ack_that_meets_a_lock_is_asked_again(hand: Hand) -> None:
    workflow_id = await hand.insert(alone(a=step()))
    [job] = await hand.start((await hand.job(workflow_id, "a")).id)
    ack = await hand.execute(job, "kept")
    async with hand.oban._query._pool.connection() as conn:
        await conn.execute("SET lock_timeout = '30ms'")

    async with await psycopg.AsyncConnection.connect(hand.dsn) as holder:
        await holder.execute("SELECT FROM oban_jobs FOR UPDATE")
        acking = asyncio.create_task(hand.ack(ack))
        await hand.until_waiting(1)
        await holder.rollback()

    assert await acking == [job.id]
    assert await hand.workflows.results(workflow_id) == {"a": "kept"}


@pytest.mark.notified
async def test_an_ack_that_wakes_nobody_else_for_its_own_queue_wakes_the_others(hand: Hand) -> None:
    """The producer that acknowledged fetches next by itself, as many jobs as it freed places."""
    workflow = Workflow("wake")
    workflow.add("root", step())
    workflow.add("same", step(), deps="root")
    workflow.add("other", step(queue="other"), deps="root")
    workflow.add_many({"x": step(), "y": step()}, deps="same")
    workflow_id = await hand.insert(workflow)

    async with await psycopg.AsyncConnection.connect(hand.dsn, autocommit=True) as listener:
        await listener.execute('LISTEN "public.oban_insert"')
        await hand.run(workflow_id, {"root": None})
        first = [notice.payload async for notice in listener.notifies(timeout=5, stop_after=1)]
        await hand.run(workflow_id, {"same": None})
        second = [notice.payload async for notice in listener.notifies(timeout=5, stop_after=1)]

    assert first == ['{"queue" : "other"}']
    assert second == ['{"queue" : "default"}']


async def test_an_empty_batch_and_an_unknown_job_acknowledge_nothing(hand: Hand) -> None:
    await hand.insert(chain(1))
    stranger = Job("tests.support.by_hand.Scripted", id=123456, attempt=1, attempted_at=datetime.now(UTC))

    assert await hand.ack() == []
    assert await hand.ack(await hand.execute(stranger, None)) == []
