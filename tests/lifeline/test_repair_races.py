"""Executions that come at the same time, and rows that others change meanwhile."""

import asyncio

from oban_powertools.errors import PreviewConsumedError
from tests.support.by_hand import Hand, chain
from tests.support.repairing import OPERATOR, REASON, execute, outcomes, preview


async def test_of_50_executions_of_one_token_one_changes_something(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(3))
    await hand.run(workflow_id, {"s0": ValueError("the bank is down")})
    shown = await preview(hand, "workflow_retry", workflow_id)

    results = await asyncio.gather(*(execute(hand, shown) for _ in range(50)), return_exceptions=True)

    refused = [result for result in results if isinstance(result, PreviewConsumedError)]
    assert len(refused) == 49
    assert (await hand.workflow(workflow_id)).generation == 2
    assert await hand.one("SELECT count(*) FROM oban_jobs") == 2
    assert await hand.one("SELECT count(*) FROM powertools.commands WHERE outcome = 'accepted'") == 1
    recorded = await outcomes(hand)
    assert sorted({outcome for _, outcome, _ in recorded}) == ["executed", "refused"]
    assert [outcome for _, outcome, _ in recorded].count("executed") == 1


async def test_a_job_that_completes_while_an_execution_waits_is_drift(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    job = await hand.job(workflow_id, "s0")
    shown = await preview(hand, "job_cancel", job.id)
    other = await hand.conn.connect(hand.dsn)
    await other.execute(b"UPDATE oban_jobs SET state = 'completed'")

    waiting = asyncio.create_task(execute(hand, shown))
    await hand.until_waiting(1)
    await other.commit()
    await other.close()
    [result] = await asyncio.gather(waiting, return_exceptions=True)

    assert "it is completed" in str(result)
    assert await hand.states(workflow_id) == {"s0": "completed", "s1": "available"}
    assert await outcomes(hand) == [("job_cancel", "drifted", "preview_drifted")]


async def test_what_others_write_meanwhile_is_not_the_repairs(hand: Hand) -> None:
    workflow_id, other = await hand.insert(chain(2)), await hand.insert(chain(2))
    await hand.run(workflow_id, {"s0": ValueError("the bank is down")})

    async def churn() -> None:
        for _ in range(20):
            await hand.rows(
                "UPDATE oban_jobs SET priority = 1 - priority WHERE meta ->> 'workflow_id' = %s", str(other)
            )

    plans = await asyncio.gather(*(preview(hand, "workflow_retry", workflow_id) for _ in range(10)), churn())

    assert len({shown.plan_hash for shown in plans if shown is not None}) == 1


async def test_two_operators_with_previews_of_one_thing_do_it_once(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.run(workflow_id, {"s0": ValueError("the bank is down")})
    mine = await preview(hand, "workflow_retry", workflow_id)
    theirs = await preview(hand, "workflow_retry", workflow_id, actor="ops-2")

    results = await asyncio.gather(
        hand.powertools.lifeline.execute_repair(OPERATOR, str(mine.preview_token), REASON),
        hand.powertools.lifeline.execute_repair("ops-2", str(theirs.preview_token), REASON),
        return_exceptions=True,
    )

    assert sorted(getattr(result, "code", "done") for result in results) == ["done", "preview_drifted"]
    assert (await hand.workflow(workflow_id)).generation == 2
