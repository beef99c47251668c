"""What a preview says of a step whose job executes: that its code goes on, and only what changes on every screen."""

from oban_powertools.lifeline.repairs.wording import word_changes
from tests.support.by_hand import Hand, chain
from tests.support.repairing import preview

GOES_ON = "its code goes on running"


async def running(hand: Hand) -> str:
    workflow_id = await hand.insert(chain(2))
    await hand.start((await hand.job(workflow_id, "s0")).id)
    return f"{workflow_id}/s0"


async def test_completing_a_running_step_warns_that_its_code_goes_on(hand: Hand) -> None:
    shown = await preview(hand, "step_complete", await running(hand), payload=1)

    assert [GOES_ON in warning for warning in shown.warnings] == [True]


async def test_what_asks_it_to_stop_says_that_instead(hand: Hand) -> None:
    shown = await preview(hand, "step_cancel", await running(hand))

    assert any("it is told to stop" in warning for warning in shown.warnings)
    assert not any(GOES_ON in warning for warning in shown.warnings)


async def test_a_step_that_does_not_run_is_not_warned_of(hand: Hand) -> None:
    shown = await preview(hand, "step_complete", f"{await hand.insert(chain(2))}/s0", payload=1)

    assert not any(GOES_ON in warning for warning in shown.warnings)


async def test_what_its_job_has_said_before_is_no_change(hand: Hand) -> None:
    step = await running(hand)

    shown = await preview(hand, "step_complete", step, payload=1)

    [change] = [each for each in word_changes(shown.changes) if each.row == f"step {step}"]
    assert change.fields["state"] == ("executing", "completed")
    assert not {"attempt", "started_at", "released_at"} & change.fields.keys()
