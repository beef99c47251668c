"""One job for each item of a list known only at run time: expanded in one statement, gathered in order."""

from typing import Any

import pytest
from oban.decorators import job

from oban_powertools import Workflow
from oban_powertools.errors import IllegalTransitionError, InvalidWorkflowError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, step
from tests.support.counting import count_executed

ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}


@job(queue="bulk", max_attempts=1, priority=4, tags=["each"])
def send(item: Any) -> None:
    """Never run: by_hand ends its jobs."""


def mapped(**options: Any) -> Workflow:
    """list -> each, a map over its result -> after, which takes the list of results."""
    workflow = Workflow("bulk")
    found = workflow.add("list", step())
    each = workflow.map("each", send, over=found.result, **options)
    workflow.add("after", step({"all": each.result}))
    return workflow


async def expanded(hand: Hand, items: Any, **options: Any) -> tuple[WorkflowId, WorkflowId]:
    workflow_id = await hand.insert(mapped(**options))
    await hand.run(workflow_id, {"list": items})
    child_id = (await hand.steps(workflow_id))["each"].child_id
    assert child_id is not None
    return workflow_id, child_id


async def run_items(hand: Hand, child_id: WorkflowId, outcomes: dict[int, Any]) -> None:
    # The function's jobs end as the test says, through Oban's own executor.
    await hand.rows("UPDATE oban_jobs SET worker = 'tests.support.by_hand.Scripted' WHERE worker LIKE %s", "%send")
    await hand.run(child_id, {f"each[{n}]": outcome for n, outcome in outcomes.items()})


async def test_each_item_has_its_job_with_the_workers_options(each_hand: Hand) -> None:
    workflow_id, child_id = await expanded(each_hand, [{"n": 1}, "two", None])

    assert await each_hand.rows(
        "SELECT args -> 'item' AS item, queue, priority, tags, max_attempts FROM oban_jobs "
        "WHERE worker LIKE %s ORDER BY id",
        "%send",
    ) == [
        {"item": item, "queue": "bulk", "priority": 4, "tags": ["each"], "max_attempts": 1}
        for item in ({"n": 1}, "two", None)
    ]
    assert await each_hand.states(workflow_id) == {"list": "completed", "each": "executing", "after": "pending"}
    assert list(await each_hand.states(child_id)) == ["each[0]", "each[1]", "each[2]"]


async def test_the_results_are_gathered_in_the_items_order_whatever_ends_first(each_hand: Hand) -> None:
    workflow_id, child_id = await expanded(each_hand, [0, 1, 2])

    await run_items(each_hand, child_id, {2: "c"})
    await run_items(each_hand, child_id, {0: "a"})
    await run_items(each_hand, child_id, {1: None})

    assert (await each_hand.job(workflow_id, "after")).args == {"all": ["a", None, "c"]}


async def test_args_may_hold_the_item_its_parts_and_results_of_other_steps(hand: Hand) -> None:
    workflow = Workflow("args")
    a = workflow.add("a", step())
    b = workflow.add("b", step())
    args = {"whole": Workflow.item, "part": [Workflow.item["id"]], "from": b.result["x"], "plain": 1}
    workflow.map("each", send, over=a.result["rows"], args=args, effects="repeatable")
    workflow_id = await hand.insert(workflow)

    await hand.run(workflow_id, {"b": {"x": 9}})
    await hand.run(workflow_id, {"a": {"rows": [{"id": 1}, {"no": 2}]}})

    child_id = (await hand.steps(workflow_id))["each"].child_id
    assert child_id is not None
    items = (await hand.steps(child_id)).values()
    assert [(s.args, s.effects) for s in items] == [
        ({"whole": {"id": 1}, "part": [1], "from": 9, "plain": 1}, "repeatable"),
        ({"whole": {"no": 2}, "part": [None], "from": 9, "plain": 1}, "repeatable"),
    ]


async def test_a_list_known_before_is_mapped_at_insert(hand: Hand) -> None:
    workflow = Workflow("literal")
    workflow.map("each", send, over=[1, 2])

    workflow_id = await hand.insert(workflow)

    assert await hand.states(workflow_id) == {"each": "executing"}
    assert await hand.one("SELECT count(*) FROM oban_jobs") == 2


async def test_an_empty_list_completes_at_once(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(mapped())

    await each_hand.run(workflow_id, {"list": []})

    assert (await each_hand.steps(workflow_id))["each"].result == []
    assert (await each_hand.job(workflow_id, "after")).args == {"all": []}


@pytest.mark.parametrize(
    ("given", "found"), [({"a": 1}, "object"), ("text", "string"), (3, "number"), (None, "null"), (True, "boolean")]
)
async def test_what_is_no_list_fails_the_step_and_says_what_it_is(hand: Hand, given: Any, found: str) -> None:
    workflow_id = await hand.insert(mapped())

    await hand.run(workflow_id, {"list": given})

    each = (await hand.steps(workflow_id))["each"]
    assert (each.state, each.error) == ("discarded", {"error": f"the value to map is {found}, expected a list"})
    assert (await hand.states(workflow_id))["after"] == "cancelled"
    await hand.workflows.recover(workflow_id, "each", "complete", payload=[1], **ASKED)
    assert (await hand.job(workflow_id, "after")).args == {"all": [1]}


async def test_a_list_that_is_too_long_fails_the_step_and_adds_nothing(hand: Hand) -> None:
    workflow_id = await hand.insert(mapped())

    await hand.run(workflow_id, {"list": [0] * 100_001})

    each = (await hand.steps(workflow_id))["each"]
    assert each.error == {"error": "the list to map has 100001 items, at most 100000 are allowed"}
    assert await hand.one("SELECT count(*) FROM powertools.workflows") == 1


async def test_a_failed_item_fails_the_map_when_all_have_ended(each_hand: Hand) -> None:
    workflow_id, child_id = await expanded(each_hand, [0, 1])

    await run_items(each_hand, child_id, {0: ValueError("x")})
    running = await each_hand.states(workflow_id)
    await run_items(each_hand, child_id, {1: "b"})

    each = (await each_hand.steps(workflow_id))["each"]
    assert (running["each"], each.state) == ("executing", "discarded")
    assert each.error == {"error": f"workflow {child_id} failed, 1 of 2 steps failed", "workflow_id": child_id}


async def test_up_to_max_failures_the_map_completes_with_null_for_what_failed(each_hand: Hand) -> None:
    workflow_id, child_id = await expanded(each_hand, [0, 1, 2], max_failures=1)

    await run_items(each_hand, child_id, {0: "a", 1: ValueError("x"), 2: "c"})

    assert (await each_hand.job(workflow_id, "after")).args == {"all": ["a", None, "c"]}
    await each_hand.run_all(workflow_id)
    assert (await each_hand.workflow(workflow_id)).state == "completed"


async def test_more_than_max_failures_fail_the_map(hand: Hand) -> None:
    workflow_id, child_id = await expanded(hand, [0, 1, 2], max_failures=1)

    await run_items(hand, child_id, {0: ValueError("x"), 1: ValueError("y"), 2: "c"})

    assert (await hand.states(workflow_id))["each"] == "discarded"


async def test_one_item_is_retried_and_the_map_goes_on(each_hand: Hand) -> None:
    workflow_id, child_id = await expanded(each_hand, [0, 1, 2])
    await run_items(each_hand, child_id, {0: "a", 1: ValueError("x"), 2: ValueError("y")})

    await each_hand.workflows.recover(child_id, "each[1]", **ASKED)
    waiting = await each_hand.states(workflow_id)
    await each_hand.workflows.recover(child_id, "each[2]", "complete", payload="c", **ASKED)
    await run_items(each_hand, child_id, {1: "b"})

    assert waiting == {"list": "completed", "each": "executing", "after": "pending"}
    assert (await each_hand.job(workflow_id, "after")).args == {"all": ["a", "b", "c"]}


async def test_a_retry_of_the_map_runs_only_the_items_that_failed(hand: Hand) -> None:
    workflow_id, child_id = await expanded(hand, [0, 1, 2])
    await run_items(hand, child_id, {0: "a", 1: ValueError("x"), 2: "c"})

    await hand.workflows.recover(workflow_id, **ASKED)

    assert await hand.states(child_id) == {"each[0]": "completed", "each[1]": "available", "each[2]": "completed"}
    await run_items(hand, child_id, {1: "b"})
    assert (await hand.job(workflow_id, "after")).args == {"all": ["a", "b", "c"]}


async def test_an_item_is_not_retried_under_a_map_whose_result_was_used(hand: Hand) -> None:
    workflow_id, child_id = await expanded(hand, [0, 1], max_failures=1)
    await run_items(hand, child_id, {0: "a", 1: ValueError("x")})

    with pytest.raises(
        IllegalTransitionError, match=f"step 'each' of workflow {workflow_id}, which ran it, is completed"
    ):
        await hand.workflows.recover(child_id, "each[1]", **ASKED)


async def test_a_map_that_failed_for_its_list_is_expanded_anew_by_a_retry_of_what_gave_the_list(hand: Hand) -> None:
    workflow_id = await hand.insert(mapped())
    await hand.run(workflow_id, {"list": "no list"})
    await hand.rows("UPDATE powertools.steps SET result = '[1, 2]' WHERE name = 'list'")

    await hand.workflows.recover(workflow_id, "each", **ASKED)

    assert (await hand.states(workflow_id))["each"] == "executing"
    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE state = 'available'") == 2


async def test_a_cancel_of_the_workflow_cancels_the_items_that_have_not_started(each_hand: Hand) -> None:
    workflow_id, child_id = await expanded(each_hand, [0, 1])
    [running] = await each_hand.start((await each_hand.job(child_id, "each[0]")).id)

    await each_hand.workflows.request_cancel(workflow_id, **ASKED)
    states = await each_hand.states(child_id)
    running.worker = "tests.support.by_hand.Scripted"
    await each_hand.ack(await each_hand.execute(running, "done"))

    assert states == {"each[0]": "executing", "each[1]": "cancelled"}
    assert await each_hand.states(workflow_id) == {"list": "completed", "each": "cancelled", "after": "cancelled"}
    assert (await each_hand.workflow(workflow_id)).state == "cancelled"


async def test_ten_thousand_items_take_as_many_statements_as_two(hand: Hand) -> None:
    counts = []
    for size in (2, 10_000):
        workflow_id = await hand.insert(mapped())
        [listing] = await hand.start((await hand.job(workflow_id, "list")).id)
        ended = await hand.execute(listing, list(range(size)))
        async with count_executed(hand.conn) as expanding:
            await hand.rows(
                "SELECT set_config('powertools.results', jsonb_build_object(%s::text, %s::jsonb)::text, false)",
                str(listing.id),
                str({"json": list(range(size))}).replace("'", '"'),
            )
            await hand.rows("UPDATE oban_jobs SET state = 'completed' WHERE id = %s", listing.id)
        del ended
        child_id = (await hand.steps(workflow_id))["each"].child_id
        # references to the item are resolved item by item, in memory
        statements = [plan for plan in expanding if "string_agg" not in plan]
        async with count_executed(hand.conn) as ending:
            await hand.rows(
                "UPDATE oban_jobs SET state = 'completed', meta = meta || jsonb_build_object('return', "
                "jsonb_build_object('json', args -> 'item')) WHERE meta -> 'workflow_id' = to_jsonb(%s::bigint)",
                child_id,
            )
        counts.append((len(statements), len(ending)))
        assert (await hand.job(workflow_id, "after")).args == {"all": list(range(size))}

    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"over": "abc"}, "not_a_list"),
        ({"over": [1], "max_failures": -1}, "invalid_max_failures"),
        ({"over": [1], "args": {"bad": {1}}}, "non_serializable"),
        ({"over": Workflow.item}, "unknown_reference"),
    ],
)
async def test_a_faulty_map_is_refused(hand: Hand, options: Any, code: str) -> None:
    workflow = Workflow("faulty")
    workflow.map("each", send, **options)

    with pytest.raises(InvalidWorkflowError) as refused:
        await hand.insert(workflow)

    assert code in [fault.code for fault in refused.value.faults]
