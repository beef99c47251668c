"""The list of previews: everybody's, newest first, with what keeps each from being executed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import SecondPerson, Severity
from oban_powertools.errors import InvalidArgumentError, PreviewDriftedError
from oban_powertools.lifeline import Lifeline, ListedPreview, PreviewStatus, RepairPreview
from oban_powertools.operators.authorization import Guard
from tests.support.by_hand import Hand, chain, everybody_may
from tests.support.repairing import OPERATOR, REASON

GRACE = "grace"
AGE = "UPDATE powertools.previews SET expires_at = now() - interval '1 s' WHERE id = %s"


async def previewed(hand: Hand, action: str = "workflow_cancel", actor: Any = OPERATOR, **more: Any) -> RepairPreview:
    """A preview of a repair of a workflow of its own."""
    workflow_id = str(await hand.insert(chain(2)))
    return await hand.powertools.lifeline.preview_repair(
        actor, action=action, target_type="workflow", target_id=workflow_id, **more
    )


async def listed(hand: Hand, **filters: Any) -> Sequence[ListedPreview]:
    return await hand.powertools.lifeline.list_previews(**filters)


async def ids(hand: Hand, **filters: Any) -> list[int]:
    return [preview.id for preview in await listed(hand, **filters)]


async def test_it_says_who_wants_to_do_what_to_what_until_when(hand: Hand) -> None:
    made = await previewed(hand)

    [preview] = await listed(hand)

    assert (preview.id, preview.actor_id, preview.action) == (made.id, made.actor_id, made.action)
    assert (preview.target_type, preview.target_id) == ("workflow", made.target_id)
    assert (preview.total_changes, preview.severity) == (made.total_changes, made.severity)
    assert (preview.created_at, preview.expires_at, preview.ended_at) == (made.created_at, made.expires_at, None)
    assert (preview.status, preview.has_changed, preview.awaits_approval) == (PreviewStatus.READY, False, False)


async def test_one_whose_rows_have_changed_says_so(hand: Hand) -> None:
    changed, same = await previewed(hand), await previewed(hand)
    await hand.workflows.hold(changed.target_id, "s1", hold_for=timedelta(hours=1), reason=REASON, actor=GRACE)

    assert {preview.id: preview.has_changed for preview in await listed(hand)} == {changed.id: True, same.id: False}


async def test_one_that_is_over_says_how_it_ended(hand: Hand) -> None:
    expired, drifted, consumed = [await previewed(hand) for _ in range(3)]
    lifeline = hand.powertools.lifeline
    await hand.workflows.hold(drifted.target_id, "s1", hold_for=timedelta(hours=1), reason=REASON, actor=GRACE)
    with pytest.raises(PreviewDriftedError):
        await lifeline.execute_repair(OPERATOR, drifted.preview_token or "", REASON)
    await lifeline.execute_repair(OPERATOR, consumed.preview_token or "", REASON)
    await hand.conn.execute(AGE, [expired.id])

    statuses = {preview.id: (preview.status.value, preview.has_changed) for preview in await listed(hand)}

    assert statuses == {expired.id: ("expired", None), drifted.id: ("drifted", None), consumed.id: ("consumed", None)}
    assert await ids(hand, status="ready") == []
    assert await ids(hand, status=PreviewStatus.EXPIRED) == [expired.id]


async def test_one_that_wants_a_second_person_says_so_until_somebody_else_has_approved_it(hand: Hand) -> None:
    guard = Guard(SecondPerson(everybody_may, when=lambda _, action, __: action.row.severity is Severity.SEVERE))
    lifeline = Lifeline(hand.services(guard=guard))
    severe, light = await previewed(hand), await previewed(hand, "workflow_hold", hold_for=timedelta(hours=1))

    before = {preview.id: preview.awaits_approval for preview in await lifeline.list_previews()}
    await lifeline.approve_repair(GRACE, severe.id, REASON)
    after = {preview.id: (preview.awaits_approval, preview.approved_by) for preview in await lifeline.list_previews()}

    assert before == {severe.id: True, light.id: False}
    assert after == {severe.id: (False, GRACE), light.id: (False, None)}


async def test_it_is_filtered_and_read_in_pages(hand: Hand) -> None:
    first, second, third = [await previewed(hand, actor=actor) for actor in (OPERATOR, GRACE, OPERATOR)]
    held = await previewed(hand, "workflow_hold", hold_for=timedelta(hours=1))

    assert await ids(hand) == [held.id, third.id, second.id, first.id]
    assert await ids(hand, limit=2) == [held.id, third.id]
    assert await ids(hand, limit=2, before=third.id) == [second.id, first.id]
    assert await ids(hand, actor=GRACE) == [second.id]
    assert await ids(hand, action="workflow_hold") == [held.id]
    assert await ids(hand, target_type="workflow", target_id=first.target_id) == [first.id]
    assert await ids(hand, target_type="job") == []


async def test_one_of_another_release_is_left_out(hand: Hand) -> None:
    known, unknown = await previewed(hand), await previewed(hand)
    await hand.conn.execute("UPDATE powertools.previews SET action = 'job_teleport' WHERE id = %s", [unknown.id])

    assert await ids(hand) == [known.id]


async def test_no_token_is_in_it(hand: Hand) -> None:
    made = await previewed(hand)

    [preview] = await listed(hand)

    assert made.preview_token
    assert made.preview_token not in str(preview.to_dict())


async def test_a_status_that_is_none_is_refused(hand: Hand) -> None:
    with pytest.raises(InvalidArgumentError):
        await listed(hand, status="perhaps")
