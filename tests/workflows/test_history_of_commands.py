"""Where a command stands in the history of a workflow: after what was before, and before everything that it did."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from oban_powertools.states import HistoryKind, WorkflowId
from oban_powertools.workflows.history import HistoryEntry
from tests.support.by_hand import Hand, chain
from tests.support.executing import die, take

ADA: Any = {"actor": "ada", "reason": "billing is back"}


async def repaired(hand: Hand, action: str, target_type: str, target_id: str, **arguments: Any) -> None:
    preview = await hand.powertools.lifeline.preview_repair(
        "ada", action=action, target_type=target_type, target_id=target_id, **arguments
    )
    assert preview.preview_token is not None
    await hand.powertools.lifeline.execute_repair("ada", preview.preview_token, ADA["reason"])


async def recovered(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.recover(workflow_id, **ADA)


async def cancelled(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.request_cancel(workflow_id, **ADA)


async def step_retried(hand: Hand, workflow_id: WorkflowId) -> None:
    await repaired(hand, "step_retry", "step", f"{workflow_id}/s1")


async def step_completed(hand: Hand, workflow_id: WorkflowId) -> None:
    await repaired(hand, "step_complete", "step", f"{workflow_id}/s1", payload=1)


async def step_skipped(hand: Hand, workflow_id: WorkflowId) -> None:
    await repaired(hand, "step_skip", "step", f"{workflow_id}/s1")


async def failed(hand: Hand) -> WorkflowId:
    """s0 has completed and s1 has failed, moments ago."""
    workflow_id = await hand.insert(chain(3))
    await hand.run(workflow_id, {"s0": 1})
    await hand.run(workflow_id, {"s1": ValueError("no")})
    return workflow_id


async def begun(hand: Hand) -> WorkflowId:
    workflow_id = await hand.insert(chain(3))
    await hand.run(workflow_id, {"s0": 1})
    return workflow_id


type Act = Callable[[Hand, WorkflowId], Awaitable[None]]
ACTS: dict[Act, Callable[[Hand], Awaitable[WorkflowId]]] = {
    recovered: failed,
    step_retried: failed,
    step_completed: failed,
    step_skipped: failed,
    cancelled: begun,
}


async def entries(hand: Hand, workflow_id: WorkflowId, **asked: Any) -> Sequence[HistoryEntry]:
    return (await hand.workflows.history(workflow_id, **asked)).entries


def around(told: Sequence[HistoryEntry]) -> tuple[list[Any], list[Any]]:
    """What stands before the only command, and after it."""
    [place] = [n for n, entry in enumerate(told) if entry.kind is HistoryKind.COMMAND]
    what = [(entry.kind, entry.step, entry.change, entry.generation) for entry in told]
    return what[:place], what[place + 1 :]


def marked(act: Act) -> str:
    return act.__name__


@pytest.mark.parametrize("act", ACTS, ids=marked)
async def test_a_command_stands_between_what_was_before_it_and_what_it_did(hand: Hand, act: Act) -> None:
    workflow_id = await ACTS[act](hand)
    was = len(await entries(hand, workflow_id))

    await act(hand, workflow_id)

    before, after = around(await entries(hand, workflow_id))
    assert len(before) == was
    assert after


@pytest.mark.parametrize("act", ACTS, ids=marked)
async def test_time_does_not_go_back_at_a_command(hand: Hand, act: Act) -> None:
    workflow_id = await ACTS[act](hand)
    await act(hand, workflow_id)

    times = [entry.at for entry in await entries(hand, workflow_id)]

    assert times == sorted(times)


async def test_the_history_of_one_step_has_the_command_before_its_effects_too(hand: Hand) -> None:
    workflow_id = await failed(hand)
    await step_retried(hand, workflow_id)

    _, after = around(await entries(hand, workflow_id, step="s1"))

    assert [change for _, _, change, _ in after] == ["recovered", "released"]


async def test_a_command_stands_before_what_was_rescued_by_it(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    job_id = (await hand.job(workflow_id, "s0")).id
    await take(hand, job_id, "p1")
    await die(hand, "p1")
    await repaired(hand, "job_rescue", "job", str(job_id))

    _, after = around(await entries(hand, workflow_id))

    assert HistoryKind.RESCUE in [kind for kind, *_ in after]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_around_a_command_follow_one_another_without_gap_or_repetition(hand: Hand, limit: int) -> None:
    workflow_id = await failed(hand)
    await recovered(hand, workflow_id)
    whole = [entry.at for entry in await entries(hand, workflow_id)]
    paged: list[Any] = []
    after: str | None = None

    while len(paged) <= len(whole):
        page = await hand.workflows.history(workflow_id, limit=limit, after=after)
        paged += [entry.at for entry in page.entries]
        if (after := page.next_after) is None:
            break

    assert paged == whole


async def test_where_rows_do_not_say_who_wrote_them_it_stands_where_it_was_recorded(hand: Hand) -> None:
    workflow_id = await failed(hand)
    await recovered(hand, workflow_id)
    # As after a dump was restored: the events seem to be of one transaction, after that of the record.
    await hand.rows("UPDATE powertools.events SET published = published WHERE workflow_id = %s", workflow_id)

    [command] = [one for one in await entries(hand, workflow_id) if one.kind is HistoryKind.COMMAND]

    assert command.at == await hand.one("SELECT at FROM powertools.audit WHERE workflow_id = %s", workflow_id)
