"""Lists and counts of executors: in pages, by their word, and of the nodes that most ask for a look."""

from collections.abc import Sequence

import pytest

from oban_powertools import ExecutorHealth, ExecutorStatus
from oban_powertools.errors import InvalidArgumentError
from oban_powertools.lifeline import ExecutorCounts
from tests.support.by_hand import Hand
from tests.support.command import powertools as run_command
from tests.support.executing import LONG_AGO, beat, heartbeat, restarted, silent, stop


async def crowd(hand: Hand) -> None:
    """Two queues on three nodes, and one that has stopped: seven executors."""
    await hand.powertools.lifeline.refresh_heartbeats(
        [
            heartbeat(f"{queue}-{node}", node=f"node-{node}", producer_scope=queue)
            for queue in ("mail", "default")
            for node in "bca"
        ]
    )
    await beat(hand, "old")
    await stop(hand, "old")


def names(executors: Sequence[ExecutorHealth]) -> list[str]:
    return [executor.executor_id.rpartition(":")[2] for executor in executors]


IN_ORDER = ["default-a", "default-b", "default-c", "mail-a", "mail-b", "mail-c", "old"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
async def test_pages_of_any_size_come_to_the_whole_list(hand: Hand, size: int) -> None:
    await crowd(hand)

    walked: list[ExecutorHealth] = []
    while page := await hand.powertools.lifeline.list_executor_health(
        after=walked[-1].cursor if walked else None, limit=size
    ):
        assert len(page) <= size
        walked += page

    assert names(walked) == names(await hand.powertools.lifeline.list_executor_health()) == IN_ORDER


async def test_a_page_goes_on_where_it_ended_also_when_that_executor_has_stopped_or_is_gone(hand: Hand) -> None:
    await crowd(hand)
    [_, second] = await hand.powertools.lifeline.list_executor_health(limit=2)

    await stop(hand, "default-b")
    after_a_stop = await hand.powertools.lifeline.list_executor_health(after=second.cursor, limit=2)
    await hand.rows("DELETE FROM powertools.executors WHERE executor_id = %s", second.executor_id)
    after_its_end = await hand.powertools.lifeline.list_executor_health(after=second.cursor, limit=2)

    assert names(after_a_stop) == ["default-c", "mail-a"]
    assert names(after_its_end) == ["default-c", "mail-a"]


@pytest.mark.parametrize("name", ["a,b", '"', "\\", "a/b/c", "ä 漢", "%3D&=#", " "])
async def test_a_cursor_holds_any_name(hand: Hand, name: str) -> None:
    await hand.powertools.lifeline.refresh_heartbeats(
        [heartbeat(f"{name}{n}", node=name, producer_scope=name) for n in range(3)]
    )
    [first] = await hand.powertools.lifeline.list_executor_health(limit=1)

    rest = await hand.powertools.lifeline.list_executor_health(after=first.cursor)

    assert names(rest) == [f"{name}1", f"{name}2"]


@pytest.mark.parametrize("cursor", ["", "p1", "0", "0/a/b", "2/a/b/c", "0/a/b/c/d", "/a/b/c", "0/a/b/%00"])
async def test_what_is_no_cursor_is_refused(hand: Hand, cursor: str) -> None:
    with pytest.raises(InvalidArgumentError, match="the cursor of an executor of the page before"):
        await hand.powertools.lifeline.list_executor_health(after=cursor)


async def test_a_word_chooses_and_the_counts_say_how_many_have_it(hand: Hand) -> None:
    await crowd(hand)
    await silent(hand, "mail-a", 3600)
    await silent(hand, "default-b", 60)

    async with restarted(hand, LONG_AGO):
        listed = {
            word: names(await hand.powertools.lifeline.list_executor_health(status=word)) for word in ExecutorStatus
        }
        counts = await hand.powertools.lifeline.count_executors()

    assert listed[ExecutorStatus.MISSING] == ["mail-a"]
    assert listed[ExecutorStatus.LATE] == ["default-b"]
    assert listed[ExecutorStatus.STOPPED] == ["old"]
    assert counts.by_status == {word: len(those) for word, those in listed.items()}


async def test_counts_say_where_and_when(hand: Hand) -> None:
    await crowd(hand)
    await silent(hand, "mail-a", 3600)
    [newest, *_] = sorted(
        await hand.powertools.lifeline.list_executor_health(status="Healthy"),
        key=lambda each: each.beat_at,
        reverse=True,
    )

    async with restarted(hand, LONG_AGO):
        counts = await hand.powertools.lifeline.count_executors()

    assert (counts.missing_nodes, counts.nodes, counts.total, counts.working) == (1, 3, 7, 6)
    assert counts.newest_beat_at == newest.beat_at


async def test_nothing_is_counted_where_nothing_beats(hand: Hand) -> None:
    assert await hand.powertools.lifeline.count_executors() == ExecutorCounts(
        by_status=dict.fromkeys(ExecutorStatus, 0), alive=0, replaced=0, missing_nodes=0, nodes=0, newest_beat_at=None
    )


async def test_one_that_is_replaced_is_counted_so(hand: Hand) -> None:
    await beat(hand, "p1")
    await silent(hand, "p1", 3600)
    await beat(hand, "p2")

    async with restarted(hand, LONG_AGO):
        counts = await hand.powertools.lifeline.count_executors()

    assert (counts.by_status[ExecutorStatus.MISSING], counts.replaced) == (1, 1)


@pytest.mark.parametrize(
    ("most", "nodes"), [(1, {"node-c"}), (2, {"node-b", "node-c"}), (3, {"node-a", "node-b", "node-c"})]
)
async def test_the_nodes_that_most_ask_for_a_look_come_first_and_whole(hand: Hand, most: int, nodes: set[str]) -> None:
    await crowd(hand)
    await silent(hand, "default-c", 3600)
    await silent(hand, "mail-b", 60)

    async with restarted(hand, LONG_AGO):
        worst = await hand.powertools.lifeline.list_executor_health(worst_nodes=most)

    assert {executor.node for executor in worst} == nodes
    assert len(worst) == 2 * len(nodes)


async def test_the_command_lists_pages_and_a_word(hand: Hand) -> None:
    await crowd(hand)

    first = run_command("executors", "list", "--limit", "2", "--json", dsn=hand.dsn).json
    second = run_command(
        "executors", "list", "--limit", "2", "--after", first["next_after"], "--json", dsn=hand.dsn
    ).json
    everyone = run_command("executors", "list", "--json", dsn=hand.dsn).json
    stopped = run_command("executors", "list", "--status", "Stopped", "--json", dsn=hand.dsn).json

    def queues(answer: dict[str, list[dict[str, str]]]) -> list[str]:
        return [executor["executor_id"].rpartition(":")[2] for executor in answer["executors"]]

    assert queues(first) + queues(second) == IN_ORDER[:4]
    assert (queues(everyone), everyone["next_after"]) == (IN_ORDER, None)
    assert queues(stopped) == ["old"]


async def test_the_command_leads_to_the_incidents_also_when_the_late_one_is_on_another_page(hand: Hand) -> None:
    await crowd(hand)
    await silent(hand, "mail-c", 60)

    async with restarted(hand, LONG_AGO):
        listed = run_command("executors", "list", "--limit", "1", dsn=hand.dsn)

    assert "mail" not in listed.out
    assert "powertools incidents list" in listed.out + listed.err
