"""Reading the log in pages."""

from oban_powertools import Cursor, StepUpdated
from tests.support.by_hand import Hand, chain


async def test_the_log_tells_every_change_of_a_workflow_in_order(each_hand: Hand) -> None:
    events = each_hand.powertools.events
    since = await events.head()
    workflow_id = await each_hand.insert(chain(2))
    await each_hand.run_all(workflow_id, {"json": 1})

    found = await events.read(since=since)

    assert [(e.step_name, e.change) if isinstance(e, StepUpdated) else e.outcome for e in found] == [
        ("s0", "released"),
        ("s0", "started"),
        ("s0", "completed"),
        ("s1", "released"),
        ("s1", "started"),
        ("s1", "completed"),
        "completed",
    ]
    assert [e.number for e in found] == list(range(1, 8))
    assert [e.cursor for e in found] == list(range(since + 1, since + 8))
    assert found == await events.read(since=Cursor(0), workflow_id=workflow_id)
