"""A preview that is read again: who gets its token, whether its rows have changed, and what became of it."""

import pytest

from oban_powertools.errors import NotAuthorizedError, PreviewConsumedError, PreviewNotFoundError
from oban_powertools.lifeline import Lifeline
from oban_powertools.operators.authorization import Guard, Target
from tests.support.by_hand import Hand
from tests.support.repairing import OPERATOR, execute, failed_chain, outcomes, preview


async def test_a_preview_gives_its_token_to_its_own_actor_and_to_nobody_else(hand: Hand) -> None:
    shown = await preview(hand, "step_retry", f"{await failed_chain(hand)}/s0")

    lifeline = hand.powertools.lifeline
    assert (await lifeline.get_preview(shown.id)).preview_token is None
    assert (await lifeline.get_preview(shown.id, token_for="somebody else")).preview_token is None
    assert (await lifeline.get_preview(shown.id, token_for=OPERATOR)).preview_token == shown.preview_token


async def test_the_token_of_a_preview_that_is_over_executes_nothing(hand: Hand) -> None:
    shown = await preview(hand, "step_retry", f"{await failed_chain(hand)}/s0")
    await execute(hand, shown)

    again = await hand.powertools.lifeline.get_preview(shown.id, token_for=OPERATOR)

    assert (again.status, again.ended_at is None) == ("consumed", False)
    with pytest.raises(PreviewConsumedError):
        await execute(hand, again)


async def test_a_preview_shows_its_arguments_and_no_payload(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)

    shown = await preview(hand, "step_complete", f"{workflow_id}/s0", payload={"paid": 30})

    assert shown.arguments == {}
    assert "paid" not in repr(await hand.powertools.lifeline.get_preview(shown.id))


async def test_a_preview_whose_rows_are_as_shown_has_moved_nowhere(hand: Hand) -> None:
    shown = await preview(hand, "step_retry", f"{await failed_chain(hand)}/s0")

    check = await hand.powertools.lifeline.check_preview(shown.id)

    assert (check.status, check.moved) == ("ready", [])
    assert check.rows == sum(change.before is not None for change in shown.changes)


async def test_a_check_names_each_column_that_has_changed_since(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    shown = await preview(hand, "step_retry", f"{workflow_id}/s0")
    await hand.rows("UPDATE powertools.steps SET cause = 'job_deleted' WHERE position = 0")

    check = await hand.powertools.lifeline.check_preview(shown.id)

    [moved] = check.moved
    assert (moved.source, moved.id, moved.gone) == ("step", f"{workflow_id}/0", False)
    assert moved.fields == {"cause": (None, "job_deleted")}


async def test_a_check_leaves_the_preview_ready(hand: Hand) -> None:
    shown = await preview(hand, "step_retry", f"{await failed_chain(hand)}/s0")

    await hand.powertools.lifeline.check_preview(shown.id)

    await execute(hand, shown)


async def test_an_execution_is_found_by_its_preview(hand: Hand) -> None:
    shown = await preview(hand, "step_retry", f"{await failed_chain(hand)}/s0")
    before = await hand.powertools.lifeline.find_execution(shown.id)

    done = await execute(hand, shown)

    found = await hand.powertools.lifeline.find_execution(shown.id)
    assert before is None
    assert found is not None
    assert (found.id, found.action, found.preview_id) == (done.audit_id, "step_retry", shown.id)


async def test_a_bulk_gives_its_token_to_its_own_actor_and_to_nobody_else(hand: Hand) -> None:
    lifeline = hand.powertools.lifeline
    workflow_id = await failed_chain(hand)
    shown = await lifeline.preview_bulk(OPERATOR, "step_retry", {"workflow_id": workflow_id, "state": "discarded"})

    assert (await lifeline.bulk_status(shown.id)).preview_token is None
    assert (await lifeline.bulk_status(shown.id, token_for="somebody else")).preview_token is None
    assert (await lifeline.bulk_status(shown.id, token_for=OPERATOR)).preview_token == shown.preview_token


async def test_two_manifests_have_two_tokens(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    some = {"workflow_id": workflow_id, "state": "discarded"}

    shown = [await hand.powertools.lifeline.preview_bulk(OPERATOR, "step_retry", some) for _ in range(2)]

    assert len({each.preview_token for each in shown}) == 2


@pytest.mark.parametrize("call", ["get_preview", "check_preview"])
async def test_a_preview_that_does_not_exist_is_not_found(hand: Hand, call: str) -> None:
    with pytest.raises(PreviewNotFoundError):
        await getattr(hand.powertools.lifeline, call)(10**9)


async def test_a_preview_says_whether_it_was_ready_before(hand: Hand) -> None:
    target = f"{await failed_chain(hand)}/s0"

    first = await preview(hand, "step_retry", target)
    second = await preview(hand, "step_retry", target)

    assert (first.id, first.is_new) == (second.id, True)
    assert not second.is_new
    assert not (await hand.powertools.lifeline.get_preview(first.id)).is_new


async def test_whoever_asks_is_told_before_why_they_may_not_execute(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    shown = await preview(hand, "step_retry", f"{workflow_id}/s0")
    refusal_of = hand.powertools.lifeline.find_execution_refusal

    before = await refusal_of(shown.id, OPERATOR)
    anothers = await refusal_of(shown.id, "somebody else")
    await execute(hand, shown)
    after = await refusal_of(shown.id, OPERATOR)

    assert before is None
    assert [anothers and anothers.code, after and after.code] == ["preview_of_another_actor", "preview_consumed"]
    assert [code for _, _, code in await outcomes(hand) if code] == []


async def test_whoever_is_not_allowed_is_told_before_and_the_policy_sees_the_whole_target(hand: Hand) -> None:
    shown = await preview(hand, "step_retry", f"{await failed_chain(hand)}/s0")
    asked: list[tuple[str, str | None]] = []

    def nobody_may(_: object, action: str, target: Target) -> bool:
        asked.append((action, target.workflow_name))
        return False

    refusal = await Lifeline(hand.services(guard=Guard(nobody_may))).find_execution_refusal(shown.id, OPERATOR)

    assert isinstance(refusal, NotAuthorizedError)
    assert asked == [("execute_repair", "chain")]
