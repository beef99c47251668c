"""What an explanation calls legal the command does, and what it calls illegal the command refuses in those words."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import pytest

from oban_powertools import Effects, Workflow
from oban_powertools.errors import CommandRefusedError
from oban_powertools.explain import ExplainedAction
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, Scripted, step
from tests.support.explaining import FAILURE, register

WHO: Final = {"actor": "ops-1", "reason": "the account is closed"}
AN_HOUR: Final = timedelta(hours=1)


def everything() -> Workflow:
    """A step of every kind in every kind of place."""
    inner = Workflow("inner")
    inner.add("deep", step())
    workflow = Workflow("everything")
    workflow.add("root", step(max_attempts=3))
    workflow.add("never", step(), effects=Effects.NEVER.value)
    workflow.await_signal("wait", signal="approved", correlation_key="7")
    workflow.add_workflow("nested", inner)
    workflow.map("each", Scripted, over=[1, 2])
    workflow.add("child", step(), deps="root")
    workflow.add("doomed", step(), deps="never")
    return workflow


async def started(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.start((await hand.job(workflow_id, "root")).id)


async def retrying(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.run(workflow_id, {"root": FAILURE})


async def held(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.hold(workflow_id, hold_for=AN_HOUR, **WHO)


async def failed(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.run(workflow_id, {"root": 1, "never": FAILURE})


async def failed_inside(hand: Hand, workflow_id: WorkflowId) -> None:
    child_id = (await hand.steps(workflow_id))["nested"].child_id
    assert child_id is not None
    await hand.run(child_id, {"deep": FAILURE})


async def stopping(hand: Hand, workflow_id: WorkflowId) -> None:
    await started(hand, workflow_id)
    await hand.workflows.request_cancel(workflow_id, **WHO)


async def cancelled(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.request_cancel(workflow_id, **WHO)


async def foreign(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.rows("UPDATE powertools.workflows SET semantics_version = 7")


async def nothing(hand: Hand, workflow_id: WorkflowId) -> None:
    """As inserted."""


def calls(
    hand: Hand, workflow_id: WorkflowId, name: str | None, job_id: int | None
) -> Mapping[str, Callable[[Any], Awaitable[Any]]]:
    """Action -> the command, on a connection; of a job and of a cancel the preview, which takes back what it does.

    A call that cancels may be repeated; an operator is offered it once.
    """
    workflows, of = hand.workflows, "workflow" if name is None else "step"

    def preview(action: str, target_type: str = "job", target_id: object = job_id) -> Callable[[Any], Awaitable[Any]]:
        return lambda _: hand.powertools.lifeline.preview_repair(
            "ops-1", action=action, target_type=target_type, target_id=str(target_id)
        )

    def recover(action: str) -> Callable[[Any], Awaitable[Any]]:
        return lambda conn: workflows.recover(workflow_id, name, action, conn=conn, **WHO)

    return {
        "complete_step": lambda conn: workflows.complete_step(workflow_id, name or "", conn=conn),
        "workflow_cancel": preview("workflow_cancel", "workflow", workflow_id),
        f"{of}_hold": lambda conn: workflows.hold(workflow_id, name, hold_for=AN_HOUR, conn=conn, **WHO),
        f"{of}_release": lambda conn: workflows.release(workflow_id, name, conn=conn, **WHO),
        "signal": lambda conn: workflows.signal("approved", "7", conn=conn),
        **{f"step_{action}": recover(action) for action in ("retry", "complete", "skip")},
        "step_cancel": preview("step_cancel", "step", f"{workflow_id}/{name}"),
        "workflow_retry": recover("retry"),
        **{action: preview(action) for action in ("job_rescue", "job_retry", "job_cancel", "job_discard")},
    }


async def refused(hand: Hand, call: Callable[[Any], Awaitable[Any]]) -> tuple[str | None, str | None]:
    """The refusal's code and words; nothing is changed in any case."""
    async with hand.conn.transaction(force_rollback=True):
        try:
            await call(hand.conn)
        except CommandRefusedError as error:
            return error.code, str(error)
    return None, None


@pytest.mark.parametrize(
    "moved",
    [nothing, started, retrying, held, failed, failed_inside, stopping, cancelled, foreign],
    ids=lambda moved: moved.__name__,
)
async def test_an_explanation_and_the_commands_agree_on_what_may_be_done(hand: Hand, moved: Any) -> None:
    await register(hand)
    workflow_id = await hand.insert(everything())
    await moved(hand, workflow_id)
    explain = hand.powertools.explain
    actions: dict[str | None, tuple[ExplainedAction, ...]] = {}
    jobs: dict[str | None, int | None] = {None: None}
    for name in await hand.steps(workflow_id):
        found = await explain.workflow_step(workflow_id, name)
        actions[name] = found.legal_actions + found.illegal_actions
        jobs[name] = found.job_id
    whole = await explain.workflow(workflow_id)
    actions[None] = whole.legal_actions + whole.illegal_actions

    told = {(name, action.name): (action.refusal, action.reason) for name in actions for action in actions[name]}
    done = {
        (name, action): await refused(hand, calls(hand, workflow_id, name, jobs[name])[action]) for name, action in told
    }

    assert told == done


async def test_a_failed_step_may_be_retried_but_not_when_it_must_never_happen_twice(hand: Hand) -> None:
    workflow_id = await hand.insert(everything())
    await failed(hand, workflow_id)

    found = await hand.powertools.explain.workflow_step(workflow_id, "never")
    doomed = await hand.powertools.explain.workflow_step(workflow_id, "doomed")

    assert [action.name for action in found.legal_actions] == ["step_complete", "step_skip"]
    reasons = {action.name: action.reason for action in found.illegal_actions}
    assert "its effects must never happen twice; legal now: complete, skip" in str(reasons["step_retry"])
    assert "step_retry" not in [action.name for action in doomed.legal_actions]


async def test_a_waiting_step_may_be_sent_its_signal_and_a_held_one_be_released(hand: Hand) -> None:
    workflow_id = await hand.insert(everything())
    await held(hand, workflow_id)

    wait = await hand.powertools.explain.workflow_step(workflow_id, "wait")
    root = await hand.powertools.explain.workflow_step(workflow_id, "root")
    whole = await hand.powertools.explain.workflow(workflow_id)

    assert "signal" in [action.name for action in wait.legal_actions]
    assert "step_release" in [action.name for action in root.legal_actions]
    assert [action.name for action in whole.legal_actions] == ["workflow_cancel", "workflow_hold", "workflow_release"]
