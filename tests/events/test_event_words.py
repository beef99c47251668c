"""An event has the operator's word just after it, as the record then, through every door; the raw state beside it."""

import random
from dataclasses import fields
from typing import Any, get_args

import pytest

import oban_powertools
from oban_powertools import (
    AnyEvent,
    Cursor,
    ExecutorState,
    ExecutorStatus,
    ExecutorUpdated,
    IncidentState,
    IncidentStatus,
    IncidentUpdated,
    OperatorStatus,
    StepState,
    StepUpdated,
    Workflow,
    WorkflowFinished,
    WorkflowState,
)
from oban_powertools.explain import explanations
from oban_powertools.explain.diagnosing import STATUSES
from oban_powertools.integrations.sse.stream import event_message as sse_message
from oban_powertools.states import StepKind, WorkflowId
from oban_powertools.webhooks.cloudevents import event_message as webhook_message
from tests.support.by_hand import Hand, Scripted, step
from tests.support.troubles import TROUBLES, project

WORD_OF: dict[Any, type] = {
    StepState: OperatorStatus,
    WorkflowState: OperatorStatus,
    IncidentState: IncidentStatus,
    ExecutorState: ExecutorStatus,
}
SERVED = """
INSERT INTO oban_producers (uuid, node, queue, meta, updated_at)
VALUES ('00000000-0000-0000-0000-000000000000', 'node', 'default', '{"local_limit": 99}', timezone('UTC', now()))
"""


def drawn(chance: random.Random, depth: int = 0) -> Workflow:
    workflow, names = Workflow("drawn"), list[str]()
    for number in range(chance.randint(2, 6)):
        deps = {name: chance.choice(("cancel", "continue")) for name in chance.sample(names, min(len(names), 2))}
        name, kind = f"s{number}", chance.randrange(6)
        if kind == 0:
            workflow.await_signal(name, signal="approved", correlation_key=f"{depth}{name}", deps=deps)
        elif kind == 1 and depth == 0:
            workflow.add_workflow(name, drawn(chance, depth + 1), deps=deps)
        elif kind == 2 and depth == 0:
            workflow.map(name, Scripted, over=[1, 2], deps=deps)
        else:
            workflow.add(name, step(max_attempts=2), deps=deps)
        names.append(name)
    return workflow


async def advance(hand: Hand, chance: random.Random) -> None:
    rows = await hand.rows("SELECT id FROM oban_jobs WHERE state IN ('available', 'retryable') ORDER BY id")
    for job in await hand.start(*[row["id"] for row in rows if chance.random() < 0.6]):
        if chance.random() < 0.8:
            await hand.ack(await hand.execute(job, RuntimeError("no") if chance.random() < 0.3 else None))


@pytest.mark.parametrize("seed", range(6))
async def test_the_word_of_a_step_s_newest_event_is_that_of_its_record(hand: Hand, seed: int) -> None:
    chance, told, stored = random.Random(seed), dict[Any, Any](), dict[Any, Any]()
    await hand.rows(SERVED)
    await hand.insert(drawn(chance))
    for _ in range(3):
        await advance(hand, chance)

    for event in await hand.powertools.events.read(since=Cursor(0)):
        if isinstance(event, StepUpdated):
            told[event.workflow_id, event.step_name] = (event.status, event.state, event.blocker)
    for row in await hand.rows("SELECT id FROM powertools.workflows"):
        for record in await hand.workflows.steps(WorkflowId(row["id"])):
            # what runs a workflow has the word of what is in that, which has events of its own
            nested = record.kind in (StepKind.WORKFLOW, StepKind.MAP) and not record.state.terminal
            status = OperatorStatus.WAITING if nested else record.status
            stored[record.workflow_id, record.name] = (status, record.state, record.blocker)
    await hand.leave_empty()

    assert len(told) > 0
    assert told == {place: stored[place] for place in told}


@pytest.mark.parametrize("state", StepState)
async def test_the_word_of_an_event_is_what_its_code_comes_to(hand: Hand, state: StepState) -> None:
    asked = "SELECT powertools.event_word_v1(%s, 1) AS word, powertools.event_code_v1(%s, 1, 'job') AS code"
    [row] = await hand.rows(asked, state, state)
    clear = OperatorStatus.FINISHED if state.terminal else None
    running = OperatorStatus.RUNNING if state is StepState.EXECUTING else OperatorStatus.RUNNABLE

    of_code = STATUSES.get(row["code"], OperatorStatus.NEEDS_REVIEW) if row["code"] else clear or running

    assert row["word"] == of_code


async def test_what_does_not_move_after_an_event_says_why(hand: Hand) -> None:
    asked = "SELECT powertools.event_word_v1(s, NULL) AS word, powertools.event_code_v1(s, NULL, 'job') AS code"
    rows = await hand.rows(f"{asked} FROM unnest(%s::text[]) AS s", [*StepState])

    still = [row for row in rows if row["word"] not in ("Running", "Runnable", "Finished")]

    assert len(still) > 0
    assert [row for row in still if not row["code"]] == []


async def test_the_end_of_a_workflow_has_the_word_of_its_record(hand: Hand) -> None:
    workflow_id = await hand.insert(drawn(random.Random(1)))
    await hand.workflows.request_cancel(workflow_id, actor="ada", reason="because of a test")

    events = await hand.powertools.events.read(since=Cursor(0), workflow_id=workflow_id)

    assert isinstance(events[-1], WorkflowFinished)
    assert events[-1].status == (await hand.workflow(workflow_id)).status == OperatorStatus.FINISHED


async def test_the_word_of_a_notice_is_that_of_the_incident_or_executor_at_its_time(hand: Hand) -> None:
    trouble = TROUBLES["executor_missing"]
    await trouble.happen(hand)
    [incident, *_] = (await project(hand, **trouble.settings)).values()
    await hand.powertools.lifeline.acknowledge_incident(incident.id, actor="ada")
    [executor, *_] = await hand.powertools.lifeline.list_executor_health()
    await trouble.end(hand)
    await project(hand)
    over = await hand.powertools.lifeline.get_incident(incident.id)

    told = [event for event in await notices(hand, "incident:all") if isinstance(event, IncidentUpdated)]

    assert [(event.status, event.state) for event in told if event.incident_id == incident.id] == [
        (incident.status, incident.state),
        (IncidentStatus.ACKNOWLEDGED, IncidentState.ACKNOWLEDGED),
        (over.status, over.state),
    ]
    missing = [event for event in await notices(hand, "executor:all") if isinstance(event, ExecutorUpdated)]
    assert (missing[0].status, missing[0].state) == (executor.status, executor.state)


async def notices(hand: Hand, topic: str) -> list[AnyEvent]:
    return [*await hand.powertools.events.read_topic(topic, since=Cursor(0))]


async def test_every_door_gives_the_word_of_the_same_event(hand: Hand) -> None:
    await TROUBLES["executor_missing"].happen(hand)
    await project(hand, **TROUBLES["executor_missing"].settings)
    workflow_id = await hand.insert(drawn(random.Random(2)))
    events = [
        *await hand.powertools.events.read(since=Cursor(0), workflow_id=workflow_id),
        *await notices(hand, "incident:all"),
        *await notices(hand, "executor:all"),
    ]

    words = [event.to_dict()["status"] for event in events]

    assert len({type(event) for event in events}) == 3
    assert [webhook_message(event, "here")["data"]["status"] for event in events] == words
    assert [
        f'"status":"{word}"' in sse_message(event).encode().decode() for event, word in zip(events, words, strict=True)
    ] == [True] * len(words)


# The walk over all records


def records() -> dict[str, type]:
    """Every public record, and every explanation."""
    public = {name: getattr(oban_powertools, name) for name in oban_powertools.__all__}
    public |= {name: value for name, value in vars(explanations).items() if isinstance(value, type)}
    return {name: value for name, value in public.items() if hasattr(value, "__dataclass_fields__")}


def kinds_of(record: type) -> dict[str, Any]:
    return {field.name: field.type for field in fields(record)}


def test_every_record_with_a_state_has_the_word_beside_it() -> None:
    with_state = {name: kinds_of(record) for name, record in records().items() if "state" in kinds_of(record)}
    of_ours = {name: kinds for name, kinds in with_state.items() if kinds["state"] in (*WORD_OF, str)}

    assert {"StepRecord", "WorkflowRecord", "StepUpdated", "IncidentUpdated", "ExecutorUpdated"} <= {*of_ours}
    assert {name for name, kinds in of_ours.items() if "status" not in kinds} == {
        "Dependency",  # the root causes beside it say what it comes to
    }
    words = {name: kinds["status"] for name, kinds in of_ours.items() if kinds["state"] in WORD_OF}
    assert words == {name: WORD_OF[of_ours[name]["state"]] for name in words}


def test_every_event_but_records_of_acts_has_a_word() -> None:
    without = {event.__name__ for event in flat(AnyEvent) if "status" not in kinds_of(event)}

    assert without == {"RepairEnded", "RetentionRan"}


def flat(union: Any) -> list[type]:
    members = get_args(getattr(union, "__value__", union))
    return [kind for member in members for kind in flat(member)] if members else [union]
