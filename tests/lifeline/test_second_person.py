"""The second person: what the host's policy wants two for is done only when somebody else has approved its preview."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oban_powertools import Action, SecondPerson, Severity
from oban_powertools.errors import (
    ApprovalMissingError,
    NotAuthorizedError,
    OwnPreviewError,
    PowertoolsError,
    PreviewDriftedError,
    PreviewExpiredError,
    ReasonRequiredError,
)
from oban_powertools.lifeline import Lifeline, RepairPreview
from oban_powertools.operators.authorization import Guard
from oban_powertools.workflows import Workflows
from tests.support.by_hand import Hand, chain, everybody_may
from tests.support.repairing import OPERATOR, REASON, failed_chain, outcomes

GRACE = "grace"


def severe(_: object, action: Action, __: object) -> bool:
    return action.row.severity is Severity.SEVERE


def two(hand: Hand, when: Any = severe, authorize: Any = everybody_may) -> Lifeline:
    return Lifeline(hand.services(guard=Guard(SecondPerson(authorize, when=when))))


async def preview(lifeline: Lifeline, workflow_id: int, action: str = "workflow_cancel") -> RepairPreview:
    return await lifeline.preview_repair(OPERATOR, action=action, target_type="workflow", target_id=workflow_id)


async def test_what_wants_two_is_refused_until_somebody_else_approves_it(hand: Hand) -> None:
    lifeline = two(hand)
    shown = await preview(lifeline, await hand.insert(chain(2)))
    assert shown.preview_token

    with pytest.raises(ApprovalMissingError):
        await lifeline.execute_repair(OPERATOR, shown.preview_token, REASON)
    before = await lifeline.find_execution_refusal(shown.id, OPERATOR)
    approval = await lifeline.approve_repair(GRACE, shown.id, REASON)
    after = await lifeline.find_execution_refusal(shown.id, OPERATOR)
    await lifeline.execute_repair(OPERATOR, shown.preview_token, REASON)

    assert isinstance(before, ApprovalMissingError)
    assert after is None
    assert (approval.actor_id, approval.plan_hash) == (GRACE, shown.plan_hash)
    assert await outcomes(hand) == [
        ("workflow_cancel", "refused", "approval_missing"),
        ("repair_approve", "executed", None),
        ("workflow_cancel", "executed", None),
    ]


async def test_what_does_not_want_two_is_executed_by_one(hand: Hand) -> None:
    lifeline = two(hand)
    shown = await preview(lifeline, await failed_chain(hand), "workflow_retry")
    assert shown.preview_token

    await lifeline.execute_repair(OPERATOR, shown.preview_token, REASON)


async def test_nobody_approves_their_own_preview(hand: Hand) -> None:
    lifeline = two(hand)
    shown = await preview(lifeline, await hand.insert(chain(2)))

    with pytest.raises(OwnPreviewError):
        await lifeline.approve_repair(OPERATOR, shown.id, REASON)

    assert await lifeline.find_approval(shown.id) is None


async def test_only_whom_the_host_allows_approves(hand: Hand) -> None:
    lifeline = two(hand, authorize=lambda _, action, __: action is not Action.REPAIR_APPROVE)
    shown = await preview(lifeline, await hand.insert(chain(2)))

    with pytest.raises(NotAuthorizedError):
        await lifeline.approve_repair(GRACE, shown.id, REASON)


async def test_an_approval_says_why(hand: Hand) -> None:
    lifeline = two(hand)
    shown = await preview(lifeline, await hand.insert(chain(2)))

    with pytest.raises(ReasonRequiredError):
        await lifeline.approve_repair(GRACE, shown.id, "")


async def test_an_approval_holds_for_the_plan_that_was_read_only(hand: Hand) -> None:
    lifeline, workflow_id = two(hand), await hand.insert(chain(2))
    shown = await preview(lifeline, workflow_id)
    assert shown.preview_token
    await lifeline.approve_repair(GRACE, shown.id, REASON)
    await hand.rows("UPDATE powertools.workflows SET generation = generation + 1 WHERE id = %s", workflow_id)

    with pytest.raises(PreviewDriftedError):
        await lifeline.execute_repair(OPERATOR, shown.preview_token, REASON)

    again = await preview(lifeline, workflow_id)
    assert again.preview_token
    with pytest.raises(ApprovalMissingError):
        await lifeline.execute_repair(OPERATOR, again.preview_token, REASON)


async def test_what_has_expired_is_approved_by_nobody(hand: Hand) -> None:
    lifeline = two(hand)
    shown = await preview(lifeline, await hand.insert(chain(2)))
    await hand.rows("UPDATE powertools.previews SET expires_at = now() - interval '1 s'")

    with pytest.raises(PreviewExpiredError):
        await lifeline.approve_repair(GRACE, shown.id, REASON)


def _fails(*_: object) -> bool:
    raise RuntimeError("no answer")


async def _later(*_: object) -> bool:
    return False


@pytest.mark.parametrize(
    ("when", "wants_two"),
    [(_fails, True), (lambda *_: None, True), (lambda *_: 0, True), (_later, False), (lambda *_: False, False)],
)
async def test_only_false_says_that_one_is_enough(hand: Hand, when: Callable[..., Any], wants_two: bool) -> None:
    lifeline = two(hand, when)
    shown = await preview(lifeline, await hand.insert(chain(2)))

    refusal = await lifeline.find_execution_refusal(shown.id, OPERATOR)

    assert isinstance(refusal, ApprovalMissingError) is wants_two


async def _directly(hand: Hand, lifeline: Lifeline, workflow_id: int) -> None:
    workflows = Workflows(hand.services(guard=Guard(SecondPerson(everybody_may, when=severe))))
    await workflows.request_cancel(str(workflow_id), actor=OPERATOR, reason=REASON)


async def _in_bulk(hand: Hand, lifeline: Lifeline, workflow_id: int) -> None:
    shown = await lifeline.preview_bulk(OPERATOR, "workflow_cancel", {"ids": [str(workflow_id)]})
    done = await lifeline.execute_bulk(OPERATOR, shown.preview_token, REASON)
    assert done.outcomes == {"refused": 1}


@pytest.mark.parametrize("act", [_directly, _in_bulk])
async def test_no_other_way_leads_around_the_second_person(
    hand: Hand, act: Callable[[Hand, Lifeline, int], Awaitable[None]]
) -> None:
    workflow_id = await hand.insert(chain(2))

    try:
        await act(hand, two(hand), workflow_id)
    except PowertoolsError as error:
        assert error.code == "approval_missing"

    assert (await hand.workflows.get(workflow_id)).state == "running"
