"""What no index can hold and no instant can count is refused at every door, before anything is written."""

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import pytest
from oban import Job

from oban_powertools import AwaitSignal, Workflow
from oban_powertools.errors import Fault, InvalidArgumentError, InvalidWorkflowError, UnstorableValueError
from oban_powertools.workflows.bounds import LONGEST_KEY, MOST_LEVELS
from oban_powertools.workflows.compile import compile_workflow
from tests.support.by_hand import Hand, chain, step

type Door = Callable[[Any], Workflow]

LIMIT: Final = 1024 * 1024

NO_SPANS: Final = {
    "the longest that Python has": timedelta.max,
    "beyond what Python can read": timedelta(days=366 * 9000),
    "over a hundred years": timedelta(days=36_526),
    "negative": timedelta(microseconds=-1),
    "the most negative": timedelta.min,
    "too many seconds": 3.2e9,
    "text": "1h",
    "true": True,
    "an instant": datetime.now(UTC),
}
UNCOUNTABLE: Final = {name: span for name, span in NO_SPANS.items() if isinstance(span, timedelta)}
SPANS: Final = {"a second": timedelta(seconds=1), "a hundred years": timedelta(days=36_525)}
NO_INSTANTS: Final = {
    "the last that Python has": datetime.max.replace(tzinfo=UTC),
    "the last, in a zone that is behind": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    "without a zone": datetime.max.replace(tzinfo=UTC).replace(tzinfo=None),
    "in a century and a day": datetime.now(UTC) + timedelta(days=36_526),
    "text": "tomorrow",
}
LONG: Final = {
    "one too many": "k" * 201,
    "too many bytes for an index": secrets.token_hex(1353),
    "text of four bytes a character": "\U0001f512" * 677,
    "a megabyte": "k" * LIMIT,
}


def workflow_of(job: Job, **options: Any) -> Workflow:
    workflow = Workflow("bounds")
    workflow.add("a", job, **options)
    return workflow


def small(**options: Any) -> Workflow:
    workflow = Workflow(**{"name": "bounds", **options})
    workflow.add("a", step())
    return workflow


def waiting(**options: Any) -> Workflow:
    workflow = Workflow("bounds")
    workflow.await_signal("a", **{"signal": "s", "correlation_key": "k", **options})
    return workflow


def nested(inside: Workflow) -> Workflow:
    workflow = Workflow("around")
    workflow.add_workflow("nested", inside)
    return workflow


def mapped(**options: Any) -> Workflow:
    class Item:
        _opts = options

    workflow = Workflow("bounds")
    workflow.map("a", Item, over=[1])
    return workflow


SPAN_DOORS: Final[dict[str, Door]] = {
    "expires_in": lambda span: small(expires_in=span),
    "expires_in of a nested workflow": lambda span: nested(small(expires_in=span)),
    "delay": lambda span: workflow_of(step(), delay=span),
    "deadline": lambda span: waiting(deadline=span),
    "deadline in a nested workflow": lambda span: nested(waiting(deadline=span)),
}
INSTANT_DOORS: Final[dict[str, Door]] = {
    "scheduled_at": lambda at: workflow_of(scheduled(at)),
    "scheduled_at of on_finished": lambda at: small(on_finished=scheduled(at)),
}
KEY_DOORS: Final[dict[str, Door]] = {
    "name of a workflow": lambda key: small(name=key),
    "idempotency_key": lambda key: small(idempotency_key=key),
    "definition_version": lambda key: small(definition_version=key),
    "tag": lambda key: small(tags=[key]),
    "name of a step": lambda key: _named(key),
    "signal": lambda key: waiting(signal=key),
    "correlation_key": lambda key: waiting(correlation_key=key),
    "queue": lambda key: workflow_of(step(queue=key)),
    "queue of on_finished": lambda key: small(on_finished=step(queue=key)),
    "queue of a map": lambda key: mapped(queue=key),
    "name of a nested workflow": lambda key: nested(small(name=key)),
}


def _named(key: str) -> Workflow:
    workflow = Workflow("bounds")
    workflow.add(key, step())
    return workflow


def scheduled(at: Any) -> Job:
    job = step()
    job.scheduled_at = at
    return job


def refusal(door: Door, found: Any) -> str:
    """The code that a door refuses with: in the line that gives it, or when the definition is checked."""
    try:
        workflow = door(found)
    except InvalidArgumentError as refused:
        return refused.code
    [fault] = faults(workflow)
    return fault.code


def faults(workflow: Workflow) -> list[Fault]:
    with pytest.raises(InvalidWorkflowError) as refused:
        compile_workflow(workflow, LIMIT)
    return list(refused.value.faults)


@pytest.mark.parametrize("span", NO_SPANS.values(), ids=NO_SPANS)
@pytest.mark.parametrize("door", SPAN_DOORS.values(), ids=SPAN_DOORS)
def test_a_span_that_cannot_be_counted_is_refused_at_each_door(door: Door, span: Any) -> None:
    assert refusal(door, span) in ("invalid_expiry", "invalid_delay", "invalid_deadline", "invalid_argument")


@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
@pytest.mark.parametrize("door", SPAN_DOORS.values(), ids=SPAN_DOORS)
def test_a_span_up_to_a_hundred_years_is_taken_at_each_door(door: Door, span: timedelta) -> None:
    assert compile_workflow(door(span), LIMIT)


def test_only_an_expiry_may_not_be_at_once() -> None:
    assert [f.code for f in faults(small(expires_in=timedelta(0)))] == ["invalid_expiry"]
    assert compile_workflow(workflow_of(step(), delay=timedelta(0)), LIMIT)
    assert compile_workflow(waiting(deadline=timedelta(0)), LIMIT)


@pytest.mark.parametrize("at", NO_INSTANTS.values(), ids=NO_INSTANTS)
@pytest.mark.parametrize("door", INSTANT_DOORS.values(), ids=INSTANT_DOORS)
def test_an_instant_that_cannot_be_read_back_is_refused_at_each_door(door: Door, at: Any) -> None:
    assert refusal(door, at) == "invalid_schedule"


@pytest.mark.parametrize("key", LONG.values(), ids=LONG)
@pytest.mark.parametrize("door", KEY_DOORS.values(), ids=KEY_DOORS)
def test_a_key_that_no_index_can_hold_is_refused_at_each_door(door: Door, key: str) -> None:
    assert refusal(door, key) == "name_too_long"


@pytest.mark.parametrize("key", [5, None, b"k", ["k"]], ids=repr)
@pytest.mark.parametrize("door", [KEY_DOORS["correlation_key"], KEY_DOORS["tag"]], ids=["correlation_key", "tag"])
def test_a_key_that_is_no_text_is_refused(door: Door, key: Any) -> None:
    assert refusal(door, key) in ("not_text", "signal_required", "invalid_argument")


@pytest.mark.parametrize("span", UNCOUNTABLE.values(), ids=UNCOUNTABLE)
async def test_a_worker_that_waits_with_no_span_fails_its_attempt_with_the_reason(each_hand: Hand, span: Any) -> None:
    workflow_id = await each_hand.insert(chain(1))

    await each_hand.run(workflow_id, {"s0": AwaitSignal("s", "k", deadline=span)})

    s0 = (await each_hand.steps(workflow_id))["s0"]
    assert (s0.state, "invalid_deadline" in s0.error["error"] or "deadline is" in s0.error["error"]) == (
        "discarded",
        True,
    )


@pytest.mark.parametrize("key", LONG.values(), ids=LONG)
@pytest.mark.parametrize("door", ["signal", "correlation_key"])
async def test_a_worker_that_waits_with_a_long_key_fails_its_attempt_with_the_reason(
    each_hand: Hand, door: str, key: str
) -> None:
    workflow_id = await each_hand.insert(chain(1))
    named: dict[str, Any] = {"signal": "s", "correlation_key": "k", door: key}

    await each_hand.run(workflow_id, {"s0": AwaitSignal(**named)})

    s0 = (await each_hand.steps(workflow_id))["s0"]
    assert (s0.state, "at most 200 are allowed" in s0.error["error"]) == ("discarded", True)


@pytest.mark.parametrize("key", LONG.values(), ids=LONG)
async def test_a_key_that_is_long_when_the_wait_begins_fails_the_step(each_hand: Hand, key: str) -> None:
    workflow = Workflow("refers")
    made = workflow.add("make", step())
    workflow.await_signal("wait", signal="s", correlation_key=made.result["key"])
    workflow.add("after", step(), deps="wait", on_failure="continue")
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"make": {"key": key[:-100]} if len(key) == LIMIT else {"key": key}})

    steps = await each_hand.steps(workflow_id)
    assert {s.name: s.state for s in steps.values()} == {
        "make": "completed",
        "wait": "discarded",
        "after": "available",
    }
    assert "characters, at most 200 are allowed" in steps["wait"].error["error"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"signal": "s", "correlation_key": "k" * 201},
        {"signal": "", "correlation_key": "k"},
        {"signal": "s"},
        {"signal": "s", "correlation_key": "k", "deadline": 1e12},
        {"signal": "s", "correlation_key": "k", "deadline": -1},
    ],
)
async def test_a_wait_of_a_worker_in_another_language_is_bounded_too(hand: Hand, wanted: dict[str, Any]) -> None:
    workflow_id = await hand.insert(chain(1))
    [job] = await hand.start((await hand.job(workflow_id, "s0")).id)

    await hand.rows(
        "UPDATE oban_jobs SET state = 'completed', meta = meta || jsonb_build_object('return', %s::jsonb) "
        "WHERE id = %s",
        json.dumps({"await": wanted}),
        job.id,
    )

    s0 = (await hand.steps(workflow_id))["s0"]
    assert (s0.state, s0.error["error"].startswith("wait refused")) == ("discarded", True)


@pytest.mark.parametrize("key", LONG.values(), ids=LONG)
@pytest.mark.parametrize("door", ["signal", "correlation_key", "dedupe_key"])
async def test_a_signal_with_a_long_key_is_refused_and_nothing_is_kept_of_it(hand: Hand, door: str, key: str) -> None:
    named: dict[str, Any] = {"signal": "s", "correlation_key": "k", "dedupe_key": "d", door: key}

    with pytest.raises(UnstorableValueError) as refused:
        await hand.workflows.signal(**named)

    assert {fault.code for fault in refused.value.faults} == {"name_too_long"}
    assert await hand.one("SELECT count(*) FROM powertools.signals") == 0


async def test_three_keys_of_200_characters_of_four_bytes_fit_into_an_index(hand: Hand) -> None:
    signal, key, dedupe = ("".join(chr(0x10000 + secrets.randbelow(0x1000)) for _ in range(LONGEST_KEY)) for _ in "123")
    workflow_id = await hand.insert(waiting(signal=signal, correlation_key=key))

    delivered = await hand.workflows.signal(signal, key, dedupe_key=dedupe)

    assert (delivered.status, await hand.states(workflow_id)) == ("consumed", {"a": "completed"})


def at_once(depth: int) -> Workflow:
    """Workflows in each other that all start in the transaction of their outermost step."""
    workflow = small()
    for _ in range(depth - 2):
        workflow = nested(workflow)
    outermost = Workflow("outermost", idempotency_key="deep")
    first = outermost.add("first", step())
    outermost.add_workflow("inner", workflow, deps=first)
    return outermost


async def test_as_many_levels_as_are_allowed_start_and_end_in_one_transaction(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(at_once(MOST_LEVELS))

    await each_hand.run(workflow_id, {"first": None})
    innermost = await each_hand.one("SELECT max(id) FROM powertools.workflows")
    await each_hand.run(innermost, {"a": 1})

    assert (await each_hand.workflow(workflow_id)).state == "completed"
    assert await each_hand.one("SELECT count(*) FROM powertools.settle_faults") == 0


async def test_as_many_levels_as_are_allowed_are_cancelled_and_recovered(hand: Hand) -> None:
    asked: Any = {"actor": "ops-1", "reason": "because of a test"}
    workflow_id = await hand.insert(at_once(MOST_LEVELS))
    await hand.run(workflow_id, {"first": None})

    await hand.workflows.request_cancel(workflow_id, **asked)
    cancelled = await hand.rows("SELECT DISTINCT state FROM powertools.workflows")
    await hand.workflows.recover(workflow_id, **asked)
    innermost = await hand.one("SELECT max(id) FROM powertools.workflows")
    await hand.run(innermost, {"a": 1})

    assert cancelled == [{"state": "cancelled"}]
    assert (await hand.workflow(workflow_id)).state == "completed"


@pytest.mark.parametrize("depth", [MOST_LEVELS + 1, 150, 900])
def test_one_level_more_is_refused_and_says_how_deep_is_too_deep(depth: int) -> None:
    [fault] = faults(at_once(depth))

    assert (fault.code, str(MOST_LEVELS) in fault.message) == ("nested_too_deep", True)


def test_a_workflow_that_is_nested_in_itself_is_a_cycle() -> None:
    workflow = small()
    workflow.add_workflow("again", workflow)

    [fault] = faults(workflow)

    assert (fault.code, fault.step) == ("cycle_detected", "again")


def test_workflows_that_are_nested_in_each_other_are_a_cycle_that_is_printed() -> None:
    two, three = Workflow("two"), Workflow("three")
    two.add_workflow("three", three)
    three.add_workflow("two", two)

    [fault] = faults(two)

    assert (fault.code, "two -> three -> two" in fault.message) == ("cycle_detected", True)


async def test_one_definition_twice_side_by_side_is_no_cycle(hand: Hand) -> None:
    shared, workflow = small(), Workflow("twice")
    workflow.add_workflow("one", shared)
    workflow.add_workflow("two", shared, deps="one")

    assert (await hand.workflow(await hand.insert(workflow))).total == 2
