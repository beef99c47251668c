"""invariant/I6: a fault in our bookkeeping is written down and repaired; the job's own state commits."""

import psycopg
import pytest

from oban_powertools import Workflow
from tests.support.breaking import broken_steps, faulty_root, refusing
from tests.support.by_hand import Hand, chain, step

FAULTS = """
SELECT job_id, state, result -> 'json' AS result, faults, message, repaired_at IS NOT NULL AS repaired
FROM powertools.settle_faults
"""


async def wait_out(hand: Hand) -> None:
    """As if the pause before the next repair were over."""
    await hand.rows("UPDATE powertools.settle_faults SET last_fault_at = last_fault_at - interval '61 s'")


async def test_a_fault_keeps_the_outcome_and_lets_the_jobs_own_state_commit(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(faulty_root())

    async with broken_steps(each_hand):
        acked = await each_hand.run(workflow_id, {"faulty": {"kept": [1]}})

    job = await each_hand.job(workflow_id, "faulty")
    assert (acked, job.state, job.completed_at is not None) == ([job.id], "completed", True)
    assert await each_hand.rows(FAULTS) == [
        {
            "job_id": job.id,
            "state": "completed",
            "result": {"kept": [1]},
            "faults": 1,
            "message": "broken on purpose",
            "repaired": False,
        }
    ]
    assert (await each_hand.states(workflow_id))["child"] == "pending"


async def test_the_sweep_repairs_it_with_the_result_and_everything_that_follows(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(faulty_root())
    async with broken_steps(each_hand):
        await each_hand.run(workflow_id, {"faulty": {"kept": [1]}})

    swept = await each_hand.sweep()

    assert swept == (1, 0)
    assert (await each_hand.job(workflow_id, "child")).args == {"x": {"kept": [1]}}
    assert [fault["repaired"] for fault in await each_hand.rows(FAULTS)] == [True]
    await each_hand.run(workflow_id, {"child": None})
    assert (await each_hand.workflow(workflow_id)).state == "completed"


async def test_a_failure_that_could_not_be_settled_keeps_its_error(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(faulty_root())
    async with broken_steps(each_hand):
        await each_hand.run(workflow_id, {"faulty": ValueError("kept")})

    await each_hand.sweep()

    steps = await each_hand.steps(workflow_id)
    assert "ValueError: kept" in steps["faulty"].error["error"]
    assert (steps["child"].state, steps["child"].cause) == ("cancelled", "cancelled_by_dependency")


async def test_in_a_batch_of_ten_only_the_faulty_one_waits(each_hand: Hand) -> None:
    workflow = Workflow("batch")
    for number in range(10):
        workflow.add(f"{'faulty' if number == 4 else 'sound'} {number}", step())
    workflow_id = await each_hand.insert(workflow)

    async with broken_steps(each_hand):
        await each_hand.run(workflow_id, {name: name for name in await each_hand.states(workflow_id)})

    states = [s.state.value for s in await each_hand.workflows.steps(workflow_id)]
    assert states == ["completed"] * 10
    ended = await each_hand.rows("SELECT name FROM powertools.steps WHERE state = 'completed'")
    assert (len(ended), {"name": "faulty 4"} in ended) == (9, False)
    assert await each_hand.sweep() == (1, 0)
    assert (await each_hand.workflows.results(workflow_id))["faulty 4"] == "faulty 4"


async def test_plain_jobs_in_the_same_statement_are_not_concerned(hand: Hand) -> None:
    await hand.insert(faulty_root())
    await hand.rows("INSERT INTO oban_jobs (worker) VALUES ('plain')")

    async with broken_steps(hand):
        await hand.rows("UPDATE oban_jobs SET state = 'completed'")

    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE state = 'completed'") == 2
    assert len(await hand.rows(FAULTS)) == 1
    await hand.sweep()


async def test_a_deleted_job_whose_step_cannot_be_cancelled_is_repaired_too(hand: Hand) -> None:
    workflow_id = await hand.insert(faulty_root())

    async with broken_steps(hand):
        await hand.rows("DELETE FROM oban_jobs")
    gone = await hand.one("SELECT count(*) FROM oban_jobs")
    await hand.sweep()

    assert gone == 0
    assert (await hand.steps(workflow_id))["faulty"].cause == "job_deleted"


async def test_a_repair_that_fails_again_pauses_longer_and_holds_up_no_other(hand: Hand) -> None:
    faulty, mended = await hand.insert(faulty_root()), await hand.insert(faulty_root())
    async with broken_steps(hand):
        await hand.run(faulty, {"faulty": 1})
        await hand.run(mended, {"faulty": 2})

    async with refusing(hand, "powertools.steps", "UPDATE", f"NEW.workflow_id = {faulty} AND OLD.state = 'available'"):
        first = await hand.sweep()
        too_early = await hand.sweep()
        await wait_out(hand)
        again = await hand.sweep()
    await wait_out(hand)
    mended_at_last = await hand.sweep()

    assert (first, too_early, again, mended_at_last) == ((1, 0), (0, 0), (0, 0), (1, 0))
    assert {fault["faults"] for fault in await hand.rows(FAULTS)} == {1, 3}


async def test_a_child_that_cannot_be_released_leaves_its_parent_to_the_sweep(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(faulty_root())

    async with refusing(each_hand, "oban_jobs", "INSERT", "NEW.meta ->> 'step' = 'child'"):
        await each_hand.run(workflow_id, {"faulty": 5})
        before = await each_hand.rows("SELECT name, state FROM powertools.steps ORDER BY position")
        job = await each_hand.job(workflow_id, "faulty")
    await each_hand.sweep()

    assert (job.state, before) == (
        "completed",
        [{"name": "faulty", "state": "available"}, {"name": "child", "state": "pending"}],
    )
    assert (await each_hand.job(workflow_id, "child")).args == {"x": 5}


async def test_an_on_finished_job_that_cannot_be_inserted_delays_the_end_not_the_queue(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(chain(1, on_finished=step(queue="nowhere")))

    async with refusing(each_hand, "oban_jobs", "INSERT", "NEW.queue = 'nowhere'"):
        await each_hand.run(workflow_id, {"s0": 1})
        waiting = await each_hand.workflow(workflow_id)
    await each_hand.sweep()

    assert (waiting.state, waiting.open) == ("running", 1)
    assert (await each_hand.workflow(workflow_id)).state == "completed"
    assert await each_hand.one("SELECT count(*) FROM oban_jobs WHERE queue = 'nowhere'") == 1


async def test_a_fault_that_cannot_even_be_written_down_is_found_by_the_sweep_with_its_result(
    each_hand: Hand,
) -> None:
    workflow_id = await each_hand.insert(faulty_root())

    async with refusing(each_hand, "powertools.settle_faults", "INSERT", "true"):
        await each_hand.rows(
            "CREATE FUNCTION refuse_too() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$; "
            "CREATE TRIGGER refuse_too BEFORE UPDATE ON powertools.steps FOR EACH ROW EXECUTE FUNCTION refuse_too()"
        )
        await each_hand.run(workflow_id, {"faulty": {"kept": True}})
        await each_hand.rows("DROP FUNCTION refuse_too CASCADE")
    job = await each_hand.job(workflow_id, "faulty")
    swept = await each_hand.sweep()

    assert (job.state, await each_hand.rows(FAULTS), swept) == ("completed", [], (0, 1))
    assert await each_hand.workflows.results(workflow_id) == {"faulty": {"kept": True}}


async def test_a_step_that_ends_again_before_the_repair_is_settled_by_its_later_end(hand: Hand) -> None:
    workflow_id = await hand.insert(faulty_root())
    async with broken_steps(hand):
        await hand.run(workflow_id, {"faulty": "first"})
    await hand.oban.retry_job((await hand.job(workflow_id, "faulty")).id or 0)

    await hand.run(workflow_id, {"faulty": "second"})
    swept = await hand.sweep()

    assert (swept, await hand.workflows.results(workflow_id)) == ((1, 0), {"faulty": "second"})


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_session_that_sees_an_older_snapshot_leaves_its_step_to_the_sweep(hand: Hand, level: str) -> None:
    workflow = Workflow("snapshots")
    workflow.add_many({"a": step(), "b": step()})
    workflow_id = await hand.insert(workflow)
    b = await hand.job(workflow_id, "b")

    async with await psycopg.AsyncConnection.connect(hand.dsn) as other:
        await other.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        await other.execute("SELECT 1 FROM oban_jobs")
        await hand.run(workflow_id, {"a": 1})
        await other.execute("UPDATE oban_jobs SET state = 'completed' WHERE id = %s", (b.id,))
        await other.commit()
    job = await hand.job(workflow_id, "b")
    faults = await hand.rows("SELECT sqlstate FROM powertools.settle_faults")

    assert (job.state, faults, await hand.sweep()) == ("completed", [{"sqlstate": "40001"}], (1, 0))
    assert (await hand.workflow(workflow_id)).state == "completed"


@pytest.mark.parametrize("setting", ["no json", "[1]", "5", "{"])
async def test_whatever_a_session_set_where_acks_put_results_its_own_update_goes_on(hand: Hand, setting: str) -> None:
    workflow_id = await hand.insert(chain(1))
    job = await hand.job(workflow_id, "s0")

    async with hand.conn.transaction():
        await hand.rows("SELECT set_config('powertools.results', %s, true)", setting)
        await hand.rows("UPDATE oban_jobs SET state = 'completed', completed_at = now() WHERE id = %s", job.id)

    assert (await hand.states(workflow_id))["s0"] == "completed"
