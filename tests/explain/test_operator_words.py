"""The database's word of a workflow or a step is that of its explanation, whatever the graph and the states are."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oban_powertools import OperatorStatus, StepState, Workflow
from oban_powertools.cli.workflow_text import steps_table
from oban_powertools.explain import BlockerCode
from oban_powertools.explain.diagnosing import STATUSES
from oban_powertools.states import WorkflowId
from oban_powertools.workflows.reasons import workflow_reason
from tests.support.by_hand import Hand, step

SEEDS = range(8)
QUEUES = ("served", "paused", "full", "deserted")
PRODUCERS = {"served": 50, "paused": 10, "full": 1}
ERROR = '{"attempt": 1, "class": "%s", "text": "it", "error": "%s: it"}'

SET_JOB = """
UPDATE oban_jobs SET state = %s, attempt = %s, attempted_by = %s, attempted_at = timezone('UTC', now()),
  scheduled_at = timezone('UTC', now() + make_interval(secs => %s)), errors = %s
WHERE id = %s
"""
EXECUTORS = """
INSERT INTO powertools.executors (
  executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after, stopped_at
)
SELECT 'app:' || e.name, e.name, e.name, 'served', now() - interval '1 h', now(), now(), now() - interval '1 h',
  '1 min', CASE e.name WHEN 'stopped' THEN now() END
FROM unnest('{alive,stopped}'::text[]) AS e (name)
"""


@pytest.mark.parametrize("code", list(BlockerCode))
async def test_a_code_comes_to_the_same_word_in_the_database(hand: Hand, code: BlockerCode) -> None:
    expected = STATUSES.get(code, OperatorStatus.NEEDS_REVIEW)

    assert await hand.one("SELECT powertools.word_of(ARRAY[%s], false)", code) == expected


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_word_is_that_of_the_explanation(damaged: Hand, seed: int) -> None:
    await _play(damaged, random.Random(seed))

    differences = [line for row in await damaged.rows(WORKFLOWS) async for line in _differences(damaged, row)]
    await damaged.leave_empty()

    assert differences == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
async def test_jobs_are_found_by_each_word_that_they_have(damaged: Hand, seed: int) -> None:
    await _play(damaged, random.Random(200 + seed))

    jobs = damaged.powertools.jobs
    listed = (await jobs.list(limit=1000)).jobs
    expected = {word: [job.id for job in listed if job.status is word] for word in OperatorStatus}
    found = {word: [job.id for job in (await jobs.list(status=word, limit=1000)).jobs] for word in OperatorStatus}
    await damaged.leave_empty()

    assert found == expected


MOVES = (OperatorStatus.RUNNING, OperatorStatus.RUNNABLE, OperatorStatus.FINISHED)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
async def test_what_does_not_move_says_why_in_its_record_and_in_its_list(damaged: Hand, seed: int) -> None:
    await _play(damaged, random.Random(100 + seed))

    workflows = await damaged.workflows.list(limit=1000)
    steps = [await damaged.workflows.steps(workflow.id) for workflow in workflows]
    silent = [w.id for w in workflows if w.status not in MOVES and not (w.blocker and workflow_reason(w))]
    for page in steps:
        say = steps_table({step.name: step.state for step in page}).sentence
        assert say is not None
        silent += [s for s in page if s.status not in MOVES and not (s.blocker and say(s))]
        silent += [s for s in page if s.state.terminal and s.state is not StepState.COMPLETED and not say(s)]
    await damaged.leave_empty()

    assert {step.status for page in steps for step in page} - {*MOVES} != set()
    assert silent == []


async def _play(hand: Hand, chance: random.Random) -> None:
    """A few workflows, some of their steps moved on, and then something in their way."""
    await _serve(hand)
    for _ in range(5):
        await hand.insert(_workflow(chance))
    for _ in range(chance.randrange(4)):
        await _advance(hand, chance)
    await _disturb(hand, chance)


WORKFLOWS = "SELECT w.* FROM powertools.workflows AS x, powertools.workflow_words_v1(ARRAY[x.id]) AS w ORDER BY w.id"


async def _differences(hand: Hand, row: dict[str, Any]) -> AsyncIterator[Any]:
    """Each word and first code that is another one than the explanation's."""
    workflow_id = WorkflowId(row["id"])
    whole = await hand.powertools.explain.workflow(workflow_id)
    if row["word"] != whole.status:
        yield (workflow_id, row["word"], whole.status, whole.summary)
    codes = {group.code for group in whole.root_causes if group.status == whole.status}
    if whole.status in (OperatorStatus.NEEDS_REVIEW, OperatorStatus.BLOCKED, OperatorStatus.WAITING):
        codes = codes or {blocker.code for blocker in whole.blockers}
        if row["code"] not in codes:
            yield (workflow_id, row["code"], codes)
    names = {s.position: s.name for s in await hand.workflows.steps(workflow_id)}
    for each in await hand.rows("SELECT * FROM powertools.step_words_v1(%s)", workflow_id):
        told = await hand.powertools.explain.workflow_step(workflow_id, names[each["position"]])
        code = told.blockers[0].code if told.blockers and told.status != OperatorStatus.FINISHED else None
        if (each["word"], each["code"]) != (told.status, code):
            yield (workflow_id, told.step, each["word"], each["code"], told.status, code, told.summary)
        [alone] = (await hand.workflows.list_steps(workflow_id, step=told.step)).steps
        if (alone.status, alone.blocker) != (told.status, code):
            yield (workflow_id, "alone", told.step, alone.status, alone.blocker, told.status, code, told.summary)


async def _serve(hand: Hand) -> None:
    for queue, places in PRODUCERS.items():
        await hand.rows(
            "INSERT INTO oban_producers (uuid, node, queue, meta, updated_at)"
            " VALUES (gen_random_uuid(), 'node', %s, jsonb_build_object('local_limit', %s::int, 'paused', %s::bool),"
            " timezone('UTC', now()))",
            queue,
            places,
            queue == "paused",
        )
    await hand.rows(EXECUTORS)


def _workflow(chance: random.Random, depth: int = 0) -> Workflow:
    workflow = Workflow(f"nested{depth}")
    names: list[str] = []
    for number in range(chance.randint(2, 6)):
        policies = ("cancel", "continue")
        chosen = chance.sample(names, min(len(names), chance.randrange(3)))
        deps = {name: chance.choice(policies) for name in chosen}
        name, kind = f"s{number}", chance.randrange(8)
        if kind == 0:
            workflow.await_signal(name, signal="approved", correlation_key=name, deps=deps)
        elif kind in (1, 2) and depth < 2:
            workflow.add_workflow(name, _workflow(chance, depth + 1), deps=deps)
        else:
            workflow.add(name, step(queue=chance.choice(QUEUES), max_attempts=3), deps=deps)
        names.append(name)
    return workflow


async def _advance(hand: Hand, chance: random.Random) -> None:
    rows = await hand.rows("SELECT id FROM oban_jobs WHERE state = 'available' ORDER BY id")
    chosen = [row["id"] for row in rows if chance.random() < 0.4]
    for job in await hand.start(*chosen):
        outcome = RuntimeError("no") if chance.random() < 0.3 else None
        await hand.ack(await hand.execute(job, outcome))


async def _disturb(hand: Hand, chance: random.Random) -> None:
    """Put live jobs, steps and workflows into every state that an explanation knows."""
    for row in await hand.rows("SELECT id, queue FROM oban_jobs WHERE state IN ('available', 'retryable') ORDER BY id"):
        await _disturb_job(hand, chance, row["id"])
    for row in await hand.rows("SELECT workflow_id, position FROM powertools.steps WHERE finished_at IS NULL"):
        if chance.random() < 0.08:
            await hand.rows(
                "UPDATE powertools.steps SET held_until = now() + interval '1 h', hold_reason = 'for now'"
                " WHERE workflow_id = %s AND position = %s",
                *row.values(),
            )
        if chance.random() < 0.05:
            await hand.rows(
                "UPDATE powertools.steps SET cancel_requested_at = now() WHERE workflow_id = %s AND position = %s",
                *row.values(),
            )
    for row in await hand.rows("SELECT id FROM powertools.workflows WHERE open > 0 ORDER BY id"):
        if chance.random() < 0.1:
            await hand.rows("UPDATE powertools.workflows SET expired_at = now() WHERE id = %s", row["id"])


async def _disturb_job(hand: Hand, chance: random.Random, job_id: int) -> None:
    picked = chance.randrange(14)
    [alive] = await hand.rows("SELECT uuid::text FROM oban_producers WHERE queue = 'full'")
    by = chance.choice((["alive", "alive"], ["stopped", "stopped"], ["x", "unknown"], ["node", alive["uuid"]]))
    error = chance.choice(("ValueError", "oban.worker.WorkerResolutionError"))
    errors = "[" + ERROR % (error, error) + "]"
    if picked < 4:
        await hand.rows(SET_JOB, "executing", 1, by, 0, "[]", job_id)
    elif picked < 6:
        await hand.rows(SET_JOB, "retryable", 1, by, chance.choice((-5, 600)), errors, job_id)
    elif picked == 6:
        await hand.rows(SET_JOB, "scheduled", 0, by, chance.choice((-5, 600)), "[]", job_id)
    elif picked == 7:
        await hand.rows(SET_JOB, "suspended", 1, by, 0, "[]", job_id)
        if chance.random() < 0.5:
            await hand.rows(
                "INSERT INTO powertools.rescues (job_id, attempt, attempted_at, attempted_by, why, action, crashes,"
                " queue, worker) VALUES (%s, 1, now(), '{a,b}', 'gone', 'quarantined', 3, 'served', 'w')",
                job_id,
            )
    elif picked == 8:
        await hand.rows(SET_JOB, "available", 3, by, 0, errors, job_id)
    elif picked == 9:
        await hand.rows(SET_JOB, "available", 1, by, 0, errors, job_id)
    elif picked == 10:
        await hand.rows(
            "INSERT INTO powertools.settle_faults (job_id, workflow_id, position, state, attempt, sqlstate, message)"
            " SELECT job_id, workflow_id, position, 'completed', 1, 'XX000', 'broken' FROM powertools.steps"
            " WHERE job_id = %s",
            job_id,
        )
