"""Rows that another session holds are told, with the session."""

import psycopg

from oban_powertools import OperatorStatus, Workflow
from oban_powertools.explain import Scope
from tests.support.by_hand import Hand, chain
from tests.support.explaining import register


async def test_a_workflow_and_a_job_that_another_session_holds_say_by_whom(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    job = await hand.job(workflow_id, "s0")

    async with await psycopg.AsyncConnection.connect(hand.dsn, application_name="lunch") as other:
        await other.execute("SELECT FROM powertools.workflows FOR UPDATE")
        await other.execute("UPDATE oban_jobs SET priority = priority")
        step = await hand.powertools.explain.workflow_step(workflow_id, "s0")
        whole = await hand.powertools.explain.workflow(workflow_id)
        alone = await hand.powertools.explain.job(str(job.id))
        pid = other.info.backend_pid

    assert [(b.scope, b.details["pid"], b.details["session"]) for b in step.blockers if b.code == "locked"] == [
        (Scope.WORKFLOW, pid, "lunch"),
        (Scope.JOB, pid, "lunch"),
    ]
    assert step.status == OperatorStatus.BLOCKED
    assert f"the workflow is locked by session {pid} (lunch), in one transaction for" in whole.blockers[0].summary
    assert [b.scope for b in alone.blockers if b.code == "locked"] == [Scope.JOB]


async def test_a_nested_workflow_is_held_by_who_holds_its_outermost_one(hand: Hand) -> None:
    outer = Workflow("outer")
    outer.add_workflow("inner", chain(1))
    outer_id = await hand.insert(outer)
    inner_id = (await hand.steps(outer_id))["inner"].child_id
    assert inner_id is not None

    async with await psycopg.AsyncConnection.connect(hand.dsn) as other:
        await other.execute("SELECT FROM powertools.workflows WHERE id = %s FOR NO KEY UPDATE", [outer_id])
        found = await hand.powertools.explain.workflow(inner_id)

    assert [blocker.code for blocker in found.blockers] == ["locked"]


async def test_a_job_whose_workflow_a_session_holds_is_found_as_blocked(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await register(hand)
    job = await hand.job(workflow_id, "s0")
    jobs = hand.powertools.jobs

    async with await psycopg.AsyncConnection.connect(hand.dsn) as other:
        await other.execute("SELECT FROM powertools.workflows FOR NO KEY UPDATE")
        held = await jobs.list(status=OperatorStatus.BLOCKED)
    free = await jobs.list(status=OperatorStatus.BLOCKED)

    assert ([each.id for each in held.jobs], free.jobs) == ([job.id], ())


async def test_what_nobody_holds_is_not_said_to_be_locked(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    async with await psycopg.AsyncConnection.connect(hand.dsn) as other:
        await other.execute("SELECT FROM powertools.workflows FOR UPDATE")
        await other.commit()
        found = await hand.powertools.explain.workflow(workflow_id)

    assert found.blockers == ()
