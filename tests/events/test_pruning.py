"""What retention takes from the log is its oldest part, and what is left is sound."""

from tests.support.by_hand import Hand, chain

PRUNE = "SELECT powertools.prune_events_v1(%s::interval, 1000)"


async def test_a_batch_that_committed_late_takes_no_younger_one_with_it(hand: Hand) -> None:
    await hand.insert(chain(2))
    head = await hand.powertools.events.head()
    late = await hand.insert(chain(1))
    assert await hand.powertools.events.head() == head + 1
    await hand.rows(
        "UPDATE powertools.event_batches SET inserted_at = now() - interval '8 days' WHERE %s = ANY (workflow_ids)",
        late,
    )

    assert await hand.one(PRUNE, "7 days") == 0

    assert [event.workflow_id for event in await hand.powertools.events.read(since=head, limit=10)] == [late]


async def test_the_numbers_that_are_left_have_no_gap_however_often_retention_comes(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(3))
    for name in ("s0", "s1", "s2"):
        await hand.run(workflow_id, {name: 1})
        await hand.powertools.events.head()
        await hand.one(PRUNE, "0 s")

    numbers = await hand.rows("SELECT number FROM powertools.events ORDER BY number")

    assert numbers == [{"number": 10}]
    assert await hand.violations() == []


async def test_a_start_of_a_workflow_that_is_gone_is_dropped(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.start((await hand.job(workflow_id, "s0")).id)
    await hand.rows("DELETE FROM powertools.workflows")
    await hand.rows("DELETE FROM powertools.steps")

    await hand.powertools.events.head()

    assert await hand.one("SELECT count(*) FROM powertools.deferred_starts") == 0
