"""Bulk repairs: a manifest, repaired one by one, each target with its outcome."""

import asyncio
from typing import Any

import pytest

from oban_powertools.errors import CommandRefusedError, PreviewConsumedError, PreviewOfAnotherActorError
from oban_powertools.lifeline.repairs import Bulk
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain
from tests.support.repairing import OPERATOR, REASON


async def failed(hand: Hand, number: int) -> list[int]:
    ids = [await hand.insert(chain(2)) for _ in range(number)]
    for workflow_id in ids:
        await hand.run(workflow_id, {"s0": ValueError("the bank is down")})
    return list(ids)


async def execute(hand: Hand, token: str, **more: Any) -> Bulk:
    return await hand.powertools.lifeline.execute_bulk(OPERATOR, token, REASON, **more)


async def test_valid_missing_and_illegal_targets_each_have_their_outcome(hand: Hand) -> None:
    first, second = await failed(hand, 2)
    running = await hand.insert(chain(2))
    ids = [str(first), str(second), str(running), "4100"]

    shown = await hand.powertools.lifeline.preview_bulk(OPERATOR, "workflow_retry", {"ids": ids})
    done = await execute(hand, shown.preview_token)

    assert (shown.total, list(shown.target_ids)) == (4, ids)
    assert [item.outcome for item in done.items] == ["done", "done", "refused", "refused"]
    assert "no step failed" in str(done.items[2].detail)
    assert str(done.items[3].detail).startswith("target_not_found")
    assert (done.status, done.outcomes) == ("done", {"done": 2, "refused": 2})
    recorded = await hand.rows("SELECT action, outcome FROM powertools.audit ORDER BY id")
    assert [row["outcome"] for row in recorded] == ["executed", "executed", "executed", "refused", "refused"]


async def test_a_filter_finds_targets_and_later_matches_are_told_and_not_touched(hand: Hand) -> None:
    await failed(hand, 2)
    shown = await hand.powertools.lifeline.preview_bulk(OPERATOR, "step_retry", {"state": "discarded"})
    [late] = await failed(hand, 1)

    done = await execute(hand, shown.preview_token)

    assert done.outcomes == {"done": 2}
    assert done.unlisted == 1
    assert await hand.one("SELECT state FROM powertools.workflows WHERE id = %s", late) == "failed"


async def test_a_target_that_changed_has_drifted(hand: Hand) -> None:
    first, second = await failed(hand, 2)
    shown = await hand.powertools.lifeline.preview_bulk(OPERATOR, "workflow_retry", {"state": "failed"})
    await hand.workflows.recover(WorkflowId(first), actor="ops-2", reason="sooner than that")
    await hand.run(WorkflowId(first), {"s0": ValueError("again")})

    done = await execute(hand, shown.preview_token)

    assert [(item.target_id, item.outcome) for item in done.items] == [(str(first), "drifted"), (str(second), "done")]


@pytest.mark.parametrize(
    ("action", "given", "code"),
    [
        ("workflow_retry", {}, "bulk_filter"),
        ("workflow_retry", {"state": None, "ids": []}, "bulk_matches_nothing"),
        ("workflow_retry", {"colour": "red"}, "bulk_filter"),
        ("workflow_retry", {"state": "failed"}, "bulk_matches_nothing"),
        ("workflow_retry", {"ids": ["one"]}, "unsupported_target"),
        ("executor_rescue_all", {"ids": ["x"]}, "unsupported_action"),
    ],
)
async def test_a_filter_that_says_nothing_or_matches_nothing_is_refused(
    hand: Hand, action: str, given: dict[str, Any], code: str
) -> None:
    with pytest.raises(CommandRefusedError) as refusal:
        await hand.powertools.lifeline.preview_bulk(OPERATOR, action, given)

    assert refusal.value.code == code
    assert await hand.one("SELECT details ->> 'code' FROM powertools.audit") == code


async def test_at_most_a_thousand_and_above_a_hundred_with_their_number(hand: Hand) -> None:
    await hand.rows("INSERT INTO oban_jobs (worker, state) SELECT 'w', 'retryable' FROM generate_series(1, 1001)")
    with pytest.raises(CommandRefusedError, match="more than 1000"):
        await hand.powertools.lifeline.preview_bulk(OPERATOR, "job_cancel", {"worker": "w"})
    await hand.rows("DELETE FROM oban_jobs WHERE id > (SELECT min(id) + 100 FROM oban_jobs)")
    shown = await hand.powertools.lifeline.preview_bulk(OPERATOR, "job_cancel", {"worker": "w"})

    with pytest.raises(CommandRefusedError, match="no number of targets"):
        await execute(hand, shown.preview_token)
    done = await execute(hand, shown.preview_token, confirm_total=101)

    assert done.outcomes == {"done": 101}


async def test_a_bulk_that_was_cut_off_goes_on_and_does_nothing_twice(hand: Hand) -> None:
    await failed(hand, 4)
    shown = await hand.powertools.lifeline.preview_bulk(OPERATOR, "workflow_retry", {"state": "failed"})
    bulks: Any = hand.powertools.lifeline
    repaired, left = bulks._repair_item, 2

    async def cut_off(*args: Any) -> None:
        nonlocal left
        if not left:
            raise KeyError
        left -= 1
        await repaired(*args)

    bulks._repair_item = cut_off
    with pytest.raises(KeyError):
        await execute(hand, shown.preview_token)
    bulks._repair_item = repaired
    before = await hand.powertools.lifeline.bulk_status(shown.id)
    done = await asyncio.gather(*(execute(hand, shown.preview_token) for _ in range(3)), return_exceptions=True)

    assert (before.status, before.outcomes) == ("running", {"done": 2, "pending": 2})
    assert any(isinstance(result, Bulk) and result.outcomes == {"done": 4} for result in done)
    assert await hand.one("SELECT max(generation) FROM powertools.workflows") == 2
    assert await hand.one("SELECT count(*) FROM powertools.audit WHERE action = 'workflow_retry'") == 4
    with pytest.raises(PreviewConsumedError):
        await execute(hand, shown.preview_token)


async def test_a_manifest_is_its_actors(hand: Hand) -> None:
    await failed(hand, 1)
    shown = await hand.powertools.lifeline.preview_bulk(OPERATOR, "workflow_retry", {"state": "failed"})

    with pytest.raises(PreviewOfAnotherActorError):
        await hand.powertools.lifeline.execute_bulk("ops-2", shown.preview_token, REASON)
