"""``workflow history``, ``workflow show`` in pages, ``job list`` and ``signals list``, as people read them."""

import asyncio
import json
from typing import Any

import pytest

from oban_powertools import Workflow
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, step
from tests.support.command import Ended, powertools

LISTS = {
    "workflow history": ("workflow", "history", "1"),
    "workflow show": ("workflow", "show", "1"),
    "job list": ("job", "list"),
    "signals list": ("signals", "list"),
    "signals waits": ("signals", "waits"),
}


async def run(hand: Hand, *arguments: str) -> Ended:
    return await asyncio.to_thread(powertools, *arguments, dsn=hand.dsn)


async def expense(hand: Hand) -> WorkflowId:
    """It failed once and waits for a signal that came under another name."""
    workflow = Workflow("expense")
    workflow.add("fetch_the_receipts_of_the_whole_month", step(max_attempts=2))
    workflow.await_signal("approve", signal="approved", correlation_key="expense-7")
    workflow.add("pay", step(), deps=["approve"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"fetch_the_receipts_of_the_whole_month": ValueError("no account 42")})
    await hand.run(workflow_id, {"fetch_the_receipts_of_the_whole_month": 1})
    await hand.workflows.signal("Approved", "expense_7")
    return workflow_id


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_is_readable_at_80_columns(hand: Hand, name: str) -> None:
    await expense(hand)

    ended = await run(hand, *LISTS[name])

    assert ended.code == 0
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", sorted(LISTS.keys() - {"workflow show"}))
async def test_a_list_as_jsonl_is_one_record_a_line(hand: Hand, name: str) -> None:
    await expense(hand)

    ended = await run(hand, *LISTS[name], "--output", "jsonl")

    records = [json.loads(line) for line in ended.out.splitlines()]
    assert len(records) > 0
    assert {record["schema_version"] for record in records} == {1}


async def test_the_history_says_what_each_step_waited_for_and_how_long_it_worked(hand: Hand) -> None:
    workflow_id = await expense(hand)

    ended = await run(hand, "workflow", "history", str(workflow_id))

    assert "started, attempt 2" in ended.out
    assert "ValueError: no account 42" in ended.out
    assert "waits for signal" in ended.out
    assert "FOR RETRY" in ended.out
    assert "UNTIL DUE" not in ended.out


async def test_the_history_goes_on_where_a_page_ended(hand: Hand) -> None:
    workflow_id = await expense(hand)
    first = (await run(hand, "workflow", "history", str(workflow_id), "--limit", "4", "--json")).json

    rest = await run(hand, "workflow", "history", str(workflow_id), "--after", first["next_after"], "--json")

    assert len(first["entries"]) == 4
    assert rest.json["next_after"] is None
    assert rest.json["entries"][0] not in first["entries"]


async def test_the_history_says_what_is_no_longer_known(hand: Hand) -> None:
    workflow_id = await expense(hand)
    await hand.powertools.events.head()
    await hand.rows("SELECT powertools.prune_events_v1('-1 min', 1000)")
    await hand.rows("DELETE FROM oban_jobs WHERE state = 'completed'")

    ended = await run(hand, "workflow", "history", str(workflow_id))

    assert "were removed: of a step without its events only the last run" in ended.err
    assert "the jobs of 1 step are gone: where their attempts ran is no longer known" in ended.err


async def test_a_workflow_is_shown_in_pages_from_what_failed_on(hand: Hand) -> None:
    workflow = Workflow("large")
    for number in range(5):
        workflow.add(f"s{number}", step())
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"s0": 1, "s3": ValueError("no")})

    first = await run(hand, "workflow", "show", str(workflow_id), "--limit", "2")
    failed = (await run(hand, "workflow", "show", str(workflow_id), "--state", "discarded", "--json")).json
    whole = (await run(hand, "workflow", "show", str(workflow_id), "--json")).json

    assert first.out.index("Finished  s3") < first.out.index("Blocked   s1")
    assert "more: --after 2.1" in first.err
    assert [each["name"] for each in failed["steps"]] == ["s3"]
    assert ([each["name"] for each in whole["steps"]], whole["next_after"]) == (["s0", "s1", "s2", "s3", "s4"], None)


@pytest.mark.parametrize("more", [("--state", "discarded"), ("--results",), ("--limit", "1")])
async def test_one_step_and_a_choice_of_steps_exclude_each_other(hand: Hand, more: tuple[str, ...]) -> None:
    ended = await run(hand, "workflow", "show", "1", "--step", "fetch", *more)

    assert (ended.code, "exclude each other" in ended.err) == (2, True)


async def test_a_search_for_jobs_says_where_it_ended(hand: Hand) -> None:
    await hand.rows(
        "INSERT INTO oban_jobs (state, queue, worker, completed_at)"
        " SELECT 'completed', 'bulk', 'app.Bulk', now() FROM generate_series(1, 11000)"
    )

    ended = await run(hand, "job", "list", "--tag", "vip")

    assert (ended.out, ended.code) == ("", 0)
    assert ended.err.splitlines() == ["no job matches", "more: --before 1001", "searched the newest 10,000 of them"]


async def test_a_stored_signal_leads_to_the_wait_that_looks_alike(hand: Hand) -> None:
    workflow_id = await expense(hand)

    ended = await run(hand, "signals", "list")

    assert "alike: workflow 1 approve waits for approved with key expense-7" in ended.out
    assert f"next: powertools repair preview signal_redirect 1 --to {workflow_id}/approve" in ended.out
    assert f"  or: powertools workflow explain {workflow_id} approve" in ended.out


async def test_an_ambiguous_signal_names_the_waits_and_what_gives_it_to_each(hand: Hand) -> None:
    first, second = await expense(hand), await expense(hand)
    await hand.rows("DELETE FROM powertools.signals")

    ended = await run(hand, "signal", "approved", "--key", "expense-7")

    assert ended.code == 6
    assert {f"approve of workflow {one} " in ended.err for one in (first, second)} == {True}
    assert {f"signal_redirect 3 --to {one}/approve" in ended.out for one in (first, second)} == {True}


async def test_no_redirection_to_a_wait_with_another_key_is_suggested_as_no_incident_suggests_it(hand: Hand) -> None:
    workflow_id = await expense(hand)
    await hand.rows("DELETE FROM powertools.signals")
    await hand.workflows.signal("approved", "expense-8")
    other = await run(hand, "signals", "list")
    await hand.workflows.signal("approved", "expence-7")

    both = await run(hand, "signals", "list")

    assert "approve waits for approved with key expense-7" in other.out
    assert "signal_redirect" not in other.out
    assert both.out.count("signal_redirect") == 1
    [misspelt] = await hand.rows("SELECT id FROM powertools.signals WHERE correlation_key = 'expence-7'")
    assert f"signal_redirect {misspelt['id']} --to {workflow_id}/approve" in both.out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("job", "list"), "no job matches"),
        (("signals", "list"), "no signal is stored"),
        (("signals", "waits"), "nothing waits for a signal"),
    ],
)
async def test_an_empty_list_says_so(hand: Hand, command: Any, message: str) -> None:
    ended = await run(hand, *command)

    assert (ended.out, ended.err.strip(), ended.code) == ("", message, 0)
