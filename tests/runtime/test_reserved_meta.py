"""Every door by which a reserved key of a job's meta could change: refused, or without effect on what it runs for."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from oban import Job, Oban, Snooze
from oban._executor import AckAction, Executor
from oban._query import Query, _ack_jobs
from oban.decorators import worker
from psycopg.types.json import Jsonb

from oban_powertools import Powertools, Workflow, current_step
from oban_powertools.errors import InvalidWorkflowError, ReservedMetaError
from oban_powertools.states import WorkflowId
from oban_powertools.workflows.job_identity import RESERVED_META, remember_identities
from tests.support.by_hand import Hand, step

KEYS = sorted(RESERVED_META)
FORGED: dict[str, Any] = {
    **dict.fromkeys(KEYS, "forged"),
    "workflow_id": 4711,
    "position": 2,
    "generation": 9,
    "context": {"of": "another"},
    "return": {"json": "forged"},
    "failed_steps": ["forged"],
    "failures_handled": True,
}


class Calling:
    """A worker that runs the function the test gives, with its job."""

    async def process(self, job: Job) -> Any:
        return job.extra["outcome"](job)


def reading() -> Workflow:
    """before -> read -> count, each taking the result of the one before; and a callback."""
    workflow = Workflow("reading", context={"of": "this"}, on_finished=step({}))
    before = workflow.add("before", step())
    read = workflow.add("read", Job("tests.runtime.test_reserved_meta.Calling", max_attempts=3), deps=[before])
    workflow.add("count", step({"read": read.result}))
    return workflow


async def about_to_read(hand: Hand) -> tuple[WorkflowId, Job]:
    """The workflow, and the job of its step "read", not yet started."""
    workflow_id = await hand.insert(reading())
    await hand.run(workflow_id, {"before": None})
    return workflow_id, await hand.job(workflow_id, "read")


def who_am_i(_: Job) -> Any:
    found = current_step()
    return [found.workflow_id, found.step, found.context, found.generation, found.idempotency_key]


async def finish(hand: Hand, workflow_id: WorkflowId) -> Any:
    """Run "read", which tells who it is; what its child was given of that."""
    await hand.run(workflow_id, {"read": who_am_i})
    return (await hand.job(workflow_id, "count")).args["read"]


# At our own doors


@pytest.mark.parametrize("door", ["add", "map", "nested", "on_finished"])
async def test_no_definition_takes_a_reserved_key(hand: Hand, door: str) -> None:
    refused = {key: await faults_of(hand, claiming(door, step(meta={key: FORGED[key]}))) for key in KEYS}

    assert refused == {key: {"reserved_meta"} for key in KEYS}


def claiming(door: str, job: Job) -> Workflow:
    workflow = Workflow("claiming", on_finished=job if door == "on_finished" else None)
    workflow.add("first", job if door == "add" else step())
    if door == "map":
        workflow.map("each", worker(queue="default", meta=job.meta)(type("Each", (Calling,), {})), over=[1])
    elif door == "nested":
        nested = Workflow("nested")
        nested.add("inside", job)
        workflow.add_workflow("below", nested)
    return workflow


async def faults_of(hand: Hand, workflow: Workflow) -> set[str]:
    with pytest.raises(InvalidWorkflowError) as refused:
        await hand.insert(workflow)
    return {fault.code for fault in refused.value.faults}


async def test_a_step_that_appends_a_job_with_a_reserved_key_fails(each_hand: Hand) -> None:
    errors: dict[str, bool] = {}
    for key in KEYS:
        workflow_id, _ = await about_to_read(each_hand)
        claims = step(meta={key: FORGED[key]})
        await each_hand.run(
            workflow_id, {"read": lambda _, claims=claims: current_step().append("more", claims) and None}
        )
        errors[key] = "reserved_meta" in await error_of(each_hand, workflow_id)

    assert errors == dict.fromkeys(KEYS, True)


async def error_of(hand: Hand, workflow_id: WorkflowId) -> str:
    read = (await hand.steps(workflow_id))["read"]
    assert (read.state, read.attempt) == ("retryable", 1)
    return (read.error or {})["error"]


async def test_a_snooze_with_a_reserved_key_fails_the_attempt(each_hand: Hand) -> None:
    errors: dict[str, bool] = {}
    for key in KEYS:
        workflow_id, _ = await about_to_read(each_hand)
        notes = {key: FORGED[key], "page": 2}
        await each_hand.run(workflow_id, {"read": lambda _, notes=notes: Snooze(1, meta=notes)})
        error = await error_of(each_hand, workflow_id)
        errors[key] = "ReservedMetaError" in error and key in error

    assert errors == dict.fromkeys(KEYS, True)


async def test_a_callback_that_snoozes_with_a_reserved_key_fails_the_attempt(hand: Hand) -> None:
    for key in KEYS:
        workflow = Workflow("called back", on_finished=Job("tests.runtime.test_reserved_meta.Calling", max_attempts=2))
        workflow.add("only", step())
        await hand.run_all(await hand.insert(workflow))
        called = await hand.one("SELECT max(id) FROM oban_jobs WHERE meta ? 'outcome'")
        [started] = await hand.start(called)
        await hand.ack(await hand.execute(started, lambda _, key=key: Snooze(1, meta={key: FORGED[key]})))

    assert await hand.rows("SELECT DISTINCT state FROM oban_jobs WHERE meta ? 'outcome'") == [{"state": "retryable"}]


async def test_a_snooze_with_other_keys_keeps_them(each_hand: Hand) -> None:
    workflow_id, job = await about_to_read(each_hand)

    await each_hand.run(workflow_id, {"read": lambda _: Snooze(1, meta={"page": 2})})

    assert await each_hand.one("SELECT meta ->> 'page' FROM oban_jobs WHERE id = %s", job.id) == "2"
    assert await finish(each_hand, workflow_id)


def none_of_it(job: Job) -> None:
    meta: Any = None
    job.meta = meta


EDITS: dict[str, Callable[[Job], Any]] = {
    "clear": lambda job: job.meta.clear(),
    "none": none_of_it,
    **{f"pop {key}": lambda job, key=key: job.meta.pop(key, None) for key in KEYS},
    **{f"forge {key}": lambda job, key=key: job.meta.update({key: FORGED[key]}) for key in KEYS},
    **{f"replace {key}": lambda job, key=key: setattr(job, "meta", {key: FORGED[key]}) for key in KEYS},
}


async def test_a_worker_that_changes_its_jobs_meta_changes_nothing_of_what_it_runs_for(each_hand: Hand) -> None:
    told: dict[str, Any] = {}
    for name, edit in EDITS.items():
        workflow_id, job = await about_to_read(each_hand)
        [started] = await each_hand.start(job.id)
        remember_identities([started])

        def disturb(job: Job, edit: Callable[[Job], Any] = edit) -> Any:
            before = current_step().idempotency_key
            edit(job)
            return [*who_am_i(job), current_step().idempotency_key == before]

        started.extra["outcome"] = disturb
        await each_hand.ack((await Executor(started).execute()).action)
        told[name] = [(await each_hand.job(workflow_id, "count")).args["read"][i] for i in (1, 2, 3, 5)] + [
            workflow_id == (await each_hand.job(workflow_id, "count")).args["read"][0]
        ]

    assert told == {key: ["read", {"of": "this"}, 1, True, True] for key in EDITS}


async def test_a_fetched_job_is_remembered_before_its_worker_has_it(hand: Hand) -> None:
    async with Powertools.open(hand.dsn, queues={"remembered": 1}, authorize=lambda *_: True) as powertools:
        workflow = Workflow("forgetful", context={"of": "this"})
        first = workflow.add("first", Job("tests.runtime.test_reserved_meta.Forgetful", queue="remembered"))
        workflow.add(
            "second", Job("tests.runtime.test_reserved_meta.Echo", args={"given": first.result}, queue="remembered")
        )
        handle = await powertools.workflows.insert(workflow)

        await handle.wait(timeout=timedelta(seconds=20))

        assert await powertools.workflows.results(handle.id) == {
            "first": ["first", {"of": "this"}],
            "second": ["first", {"of": "this"}],
        }


class Forgetful:
    """A worker that empties its job's meta."""

    async def process(self, job: Job) -> Any:
        job.meta.clear()
        return [current_step().step, current_step().context]


class Echo:
    """A worker that returns what it was given."""

    async def process(self, job: Job) -> Any:
        return job.args["given"]


@pytest.mark.parametrize("many", [False, True])
async def test_a_plain_job_with_a_steps_meta_is_refused(each_hand: Hand, many: bool) -> None:
    _, job = await about_to_read(each_hand)
    copied = step({"copied": True}, meta={**job.meta, "mine": 1})
    jobs = await each_hand.one("SELECT count(*) FROM oban_jobs")

    with pytest.raises(ReservedMetaError, match="position, step, uid, workflow_id, workflow_name") as refused:
        await (each_hand.oban.enqueue_many([step(), copied]) if many else each_hand.oban.enqueue(copied))

    assert refused.value.worker == "tests.support.by_hand.Scripted"
    assert await each_hand.one("SELECT count(*) FROM oban_jobs") == jobs


async def test_a_plain_job_keeps_its_own_meta_under_any_one_of_the_keys(each_hand: Hand) -> None:
    found: dict[str, Any] = {}
    for key in KEYS:
        job = await each_hand.oban.enqueue(step(meta={key: FORGED[key]}))
        await each_hand.rows("UPDATE oban_jobs SET meta = meta || %s WHERE id = %s", Jsonb({"more": 1}), job.id)
        [started] = await each_hand.start(job.id)
        await each_hand.ack(await each_hand.execute(started, Snooze(1, meta={key: "mine"})))
        found[key] = await each_hand.one("SELECT meta FROM oban_jobs WHERE id = %s", job.id)

    assert found == {key: {key: "mine", "more": 1, "snoozed": 1} for key in KEYS}


# At the database's: another node, another tool, a person


async def by_merging(hand: Hand, job: Job, key: str) -> None:
    await hand.rows("UPDATE oban_jobs SET meta = meta || %s WHERE id = %s", Jsonb({key: FORGED[key]}), job.id)


async def by_removing(hand: Hand, job: Job, key: str) -> None:
    await hand.rows("UPDATE oban_jobs SET meta = meta - %s::text WHERE id = %s", key, job.id)


async def by_wiping(hand: Hand, job: Job, key: str) -> None:
    await hand.rows("UPDATE oban_jobs SET meta = %s WHERE id = %s", Jsonb({key: FORGED[key]}), job.id)


async def by_a_list(hand: Hand, job: Job, key: str) -> None:
    await hand.rows("UPDATE oban_jobs SET meta = %s WHERE id = %s", Jsonb([key]), job.id)


async def by_update_job(hand: Hand, job: Job, key: str) -> None:
    await Oban(pool=hand.oban._query._pool, name="other").update_job(job, {"meta": {**job.meta, key: FORGED[key]}})


async def by_another_nodes_snooze(hand: Hand, job: Job, key: str) -> None:
    [started] = await hand.start(job.id)
    ack = AckAction(started, "scheduled", -1, None, {"snoozed": 1, key: FORGED[key]}, 1)
    assert await _ack_jobs(Query(hand.oban._query._pool), [ack]) == [job.id]


async def by_a_snooze_in_bulk(hand: Hand, job: Job, key: str) -> None:
    [started] = await hand.start(job.id)
    await hand.ack(AckAction(started, "scheduled", -1, None, {"snoozed": 1, key: FORGED[key]}, 1))


DOORS = [by_merging, by_removing, by_wiping, by_a_list, by_update_job, by_another_nodes_snooze, by_a_snooze_in_bulk]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
async def test_another_tool_changes_nothing_of_what_a_job_runs_for(
    each_hand: Hand, door: Callable[[Hand, Job, str], Awaitable[None]]
) -> None:
    said: dict[str, bool] = {}
    displaced: dict[str, Any] = {}
    told: dict[str, bool] = {}
    for key in KEYS:
        workflow_id, job = await about_to_read(each_hand)
        own = {k: job.meta.get(k) for k in KEYS}
        await door(each_hand, job, key)
        meta = await each_hand.one("SELECT meta FROM oban_jobs WHERE id = %s", job.id)
        said[key] = {k: meta.get(k) for k in KEYS} == own
        displaced[key] = meta.get("displaced")
        told[key] = (await finish(each_hand, workflow_id))[:4] == [workflow_id, "read", {"of": "this"}, 1]

    assert said == dict.fromkeys(KEYS, True)
    assert displaced == {key: None if door in (by_removing, by_a_list) else {key: FORGED[key]} for key in KEYS}
    assert told == dict.fromkeys(KEYS, True)


async def test_another_tool_changes_nothing_of_what_a_callback_was_told(hand: Hand) -> None:
    await hand.run_all(await hand.insert(reading()), who_am_i)
    [called] = await hand.rows("SELECT id, meta FROM oban_jobs WHERE meta ? 'outcome'")
    found: dict[str, Any] = {}

    for key in KEYS:
        await hand.rows("UPDATE oban_jobs SET meta = meta || %s WHERE id = %s", Jsonb({key: FORGED[key]}), called["id"])
        found[key] = await hand.one("SELECT meta FROM oban_jobs WHERE id = %s", called["id"])

    assert found == {key: {**called["meta"], "displaced": {key: FORGED[key]}} for key in KEYS}


async def test_an_edit_that_ends_the_step_at_once_is_settled_all_the_same(hand: Hand) -> None:
    workflow_id, job = await about_to_read(hand)

    await hand.rows(
        "UPDATE oban_jobs SET state = 'completed', meta = %s WHERE id = %s",
        Jsonb({"position": 2, "return": {"json": 7}}),
        job.id,
    )

    assert (await hand.job(workflow_id, "count")).args == {"read": 7}


async def test_a_batch_in_which_one_job_was_edited_settles_every_one(each_hand: Hand) -> None:
    ids = [(await about_to_read(each_hand))[0] for _ in range(20)]
    jobs = [(await each_hand.job(workflow_id, "read")).id for workflow_id in ids]

    await each_hand.rows(
        "UPDATE oban_jobs SET state = 'completed', meta = CASE id WHEN %s THEN '{}' ELSE meta END WHERE id = ANY (%s)",
        jobs[7],
        jobs,
    )

    assert {(await each_hand.states(workflow_id))["count"] for workflow_id in ids} == {"available"}


async def test_an_edit_of_meta_is_an_incident_and_audited(hand: Hand) -> None:
    workflow_id, job = await about_to_read(hand)

    await by_merging(hand, job, "position")

    [incident] = await hand.powertools.lifeline.project_incidents()
    [record] = await hand.rows("SELECT * FROM powertools.audit WHERE action = 'job_meta_restore'")
    assert incident.fingerprint == "outside_edit:meta_changed:tests.runtime.test_reserved_meta.Calling"
    assert incident.title.startswith(
        "1 job of tests.runtime.test_reserved_meta.Calling had other meta written over what it runs"
    )
    assert (record["target_id"], record["actor_id"]) == (str(job.id), "powertools")
    assert record["details"] == {"workflow_id": workflow_id, "step": "read", "displaced": ["position"]}
