"""Whatever the repair: what changes between preview and execution is refused, with the difference, and left alone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, LiteralString

import pytest

from oban_powertools import Workflow
from oban_powertools.acts import REPAIRS
from oban_powertools.errors import PreviewDriftedError
from tests.support.by_hand import Hand, chain, step
from tests.support.executing import die, heartbeat, late_success, stop, take
from tests.support.repairing import everything, execute, failed_chain, outcomes, preview, repair

AN_HOUR = timedelta(hours=1)


async def ready_job(hand: Hand) -> Any:
    return (await hand.job(await hand.insert(chain(2)), "s0")).id


async def retryable_job(hand: Hand) -> Any:
    workflow = Workflow("retryable")
    workflow.add("s0", step(max_attempts=3))
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"s0": ValueError("not yet")})
    return (await hand.job(workflow_id, "s0")).id


async def orphaned_job(hand: Hand) -> Any:
    job_id = await ready_job(hand)
    await take(hand, job_id, "p1")
    await die(hand, "p1")
    return job_id


async def dead_executor(hand: Hand) -> Any:
    await orphaned_job(hand)
    await stop(hand, "p1")
    return heartbeat("p1")["executor_id"]


async def failed_callback(hand: Hand) -> Any:
    workflow_id = await hand.insert(chain(1, on_finished=step()))
    await hand.run(workflow_id, {"s0": 1})
    callback = await hand.one("SELECT max(id) FROM oban_jobs")
    await hand.rows("UPDATE oban_jobs SET state = 'discarded', attempt = 1 WHERE id = %s", callback)
    return callback


async def live_step(hand: Hand) -> Any:
    return f"{await hand.insert(chain(2))}/s0"


async def failed_step(hand: Hand) -> Any:
    return f"{await failed_chain(hand)}/s0"


async def held_step(hand: Hand) -> Any:
    target = await live_step(hand)
    await repair(hand, "step_hold", target, hold_for=AN_HOUR)
    return target


async def live_workflow(hand: Hand) -> Any:
    return await hand.insert(chain(2))


async def failed_workflow(hand: Hand) -> Any:
    return await failed_chain(hand)


async def held_workflow(hand: Hand) -> Any:
    workflow_id = await live_workflow(hand)
    await repair(hand, "workflow_hold", workflow_id, hold_for=AN_HOUR)
    return workflow_id


async def misspelt_signal(hand: Hand) -> Any:
    """Beside the step ``1/paid``, which waits for it."""
    workflow = Workflow("order")
    workflow.await_signal("paid", signal="payment", correlation_key="order-7")
    await hand.insert(workflow)
    return (await hand.workflows.signal("payment", "Order 7", {"paid": 30})).id


EDIT_JOBS = "UPDATE oban_jobs SET priority = 7"
EDIT_STEPS = "UPDATE powertools.steps SET attempt = 7"
EDIT_LATE = "UPDATE powertools.late_results SET attempt = 7"
EDIT_SIGNALS = "UPDATE powertools.signals SET correlation_key = 'order_7'"
NO_JOBS = "DELETE FROM oban_jobs"
NO_WORKFLOWS = "DELETE FROM powertools.steps; DELETE FROM powertools.workflows"
NO_LATE = "DELETE FROM powertools.late_results"
NO_SIGNALS = "DELETE FROM powertools.signals"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A target of a repair; what somebody changes of it, what the refusal says then; and what makes it vanish."""

    target: Callable[[Hand], Awaitable[Any]]
    edit: LiteralString = EDIT_STEPS
    told: str = "attempt was"
    gone: LiteralString = NO_WORKFLOWS
    more: dict[str, Any] = field(default_factory=dict[str, Any])


CASES = {
    "job_rescue": Case(target=orphaned_job, edit=EDIT_JOBS, told="priority was 0, now 7", gone=NO_JOBS),
    "job_retry": Case(target=retryable_job, edit=EDIT_JOBS, told="priority was 0, now 7", gone=NO_JOBS),
    "job_cancel": Case(target=ready_job, edit=EDIT_JOBS, told="priority was 0, now 7", gone=NO_JOBS),
    "job_discard": Case(target=ready_job, edit=EDIT_JOBS, told="priority was 0, now 7", gone=NO_JOBS),
    "step_retry": Case(target=failed_step),
    "step_cancel": Case(target=live_step),
    "step_complete": Case(target=failed_step, more={"payload": 1}),
    "step_skip": Case(target=failed_step),
    "step_hold": Case(target=live_step, more={"hold_for": AN_HOUR}),
    "step_release": Case(target=held_step),
    "late_result_adopt": Case(target=late_success, edit=EDIT_LATE, told="attempt was 1, now 7", gone=NO_LATE),
    "late_result_dismiss": Case(target=late_success, edit=EDIT_LATE, told="attempt was 1, now 7", gone=NO_LATE),
    "workflow_cancel": Case(target=live_workflow),
    "workflow_retry": Case(target=failed_workflow),
    "workflow_hold": Case(target=live_workflow, more={"hold_for": AN_HOUR}),
    "workflow_release": Case(target=held_workflow),
    "executor_rescue_all": Case(
        target=dead_executor, edit=EDIT_JOBS, told="priority was 0, now 7", gone="DELETE FROM powertools.executors"
    ),
    "callback_retry": Case(target=failed_callback, edit=EDIT_JOBS, told="priority was 0, now 7", gone=NO_JOBS),
    "signal_redirect": Case(
        target=misspelt_signal, edit=EDIT_SIGNALS, told="correlation_key was", gone=NO_SIGNALS, more={"to": "1/paid"}
    ),
    "signal_discard": Case(target=misspelt_signal, edit=EDIT_SIGNALS, told="correlation_key was", gone=NO_SIGNALS),
}


def test_every_repair_is_here() -> None:
    assert set(CASES) == {str(action) for action in REPAIRS}


@pytest.mark.parametrize("action", CASES)
async def test_what_changes_before_the_execution_is_refused_with_the_difference(hand: Hand, action: str) -> None:
    case = CASES[action]
    target = await case.target(hand)
    told: list[str] = []

    for change in (case.edit, case.gone):
        shown = await preview(hand, action, target, **case.more)
        await hand.rows(change)
        changed = await everything(hand)
        with pytest.raises(PreviewDriftedError) as refusal:
            await execute(hand, shown)
        told.append(str(refusal.value.changed))
        assert await everything(hand) == changed
        assert (await outcomes(hand))[-1] == (action, "drifted", "preview_drifted")
        assert (await hand.powertools.lifeline.get_preview(shown.id)).status == "drifted"

    assert case.told in told[0]
    assert "does not exist" in told[1]


@pytest.mark.parametrize("action", CASES)
async def test_what_has_not_changed_is_executed(hand: Hand, action: str) -> None:
    case = CASES[action]
    target = await case.target(hand)

    shown = await preview(hand, action, target, **case.more)
    done = await execute(hand, shown)

    assert done.total_changes == shown.total_changes > 0
    assert done.effect == shown.effect
