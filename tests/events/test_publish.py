"""Events that a host tells of a step that runs elsewhere."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oban_powertools import Cursor, PowertoolsError, StepChange, StepState, StepUpdated
from oban_powertools.errors import (
    AlreadyTerminalError,
    NotAuthorizedError,
    ReasonRequiredError,
    StepNotFoundError,
    StepNotReleasedError,
    UnattributedActorError,
    UnpublishableChangeError,
    UnstorableValueError,
    WorkflowNotFoundError,
)
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain


@pytest.mark.parametrize(
    ("change", "state"), [("started", "executing"), ("retrying", "retryable"), ("snoozed", "scheduled")]
)
async def test_a_published_change_is_an_event_like_any_other(hand: Hand, change: str, state: str) -> None:
    workflow_id = await hand.insert(chain(1))

    event = await hand.powertools.events.publish(workflow_id, "s0", change, attempt=2, error="Traceback\nboom: no\n")

    assert (event.step_name, event.change, event.state) == ("s0", StepChange(change), StepState(state))
    assert (event.attempt, event.error, event.number) == (2, "boom: no", 2)
    assert await hand.powertools.events.read(since=Cursor(event.cursor - 1)) == [event]
    assert await hand.states(workflow_id) == {"s0": "available"}
    assert await hand.one("SELECT count(*) FROM powertools.events WHERE published") == 1


async def test_a_publication_comes_after_the_start_of_its_job(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.start((await hand.job(workflow_id, "s0")).id)

    await hand.powertools.events.publish(workflow_id, "s0", StepChange.SNOOZED)

    found = await hand.powertools.events.read(since=Cursor(0), workflow_id=workflow_id)
    told = [(e.change.value, e.attempt) for e in found if isinstance(e, StepUpdated)]
    assert told == [("released", 0), ("started", 1), ("snoozed", 1)]


async def test_a_publication_joins_the_callers_transaction(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    async with hand.powertools.connect() as conn:
        async with conn.transaction(force_rollback=True):
            assert await hand.powertools.events.publish(workflow_id, "s0", "started", conn=conn) is None
        undone = await hand.powertools.events.read(since=Cursor(0), workflow_id=workflow_id)
        async with conn.transaction():
            await hand.powertools.events.publish(workflow_id, "s0", "started", conn=conn)

    assert len(undone) == 1
    assert len(await hand.powertools.events.read(since=Cursor(0), workflow_id=workflow_id)) == 2


async def test_only_the_engine_tells_what_moves_a_workflow(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    told = {"started", "retrying", "snoozed"}

    for change in [*({c.value for c in StepChange} - told), "finished", "nonsense"]:
        with pytest.raises(UnpublishableChangeError, match=r"workflows\.complete_step") as refused:
            await hand.powertools.events.publish(workflow_id, "s0", change)
        assert refused.value.legal_next_steps == ("complete_step",)

    assert await hand.one("SELECT count(*) FROM powertools.events") == 1


async def _no_workflow(hand: Hand, workflow_id: WorkflowId) -> Any:
    await hand.powertools.events.publish(WorkflowId(workflow_id + 1), "s0", "started")


async def _no_step(hand: Hand, workflow_id: WorkflowId) -> Any:
    await hand.powertools.events.publish(workflow_id, "nobody", "started")


async def _not_released(hand: Hand, workflow_id: WorkflowId) -> Any:
    await hand.powertools.events.publish(workflow_id, "s1", "started")


async def _ended(hand: Hand, workflow_id: WorkflowId) -> Any:
    await hand.workflows.complete_step(workflow_id, "s0")
    await hand.powertools.events.publish(workflow_id, "s0", "started")


async def _unstorable(hand: Hand, workflow_id: WorkflowId) -> Any:
    await hand.powertools.events.publish(workflow_id, "s0", "retrying", error="a\0b")


async def _no_attempt(hand: Hand, workflow_id: WorkflowId) -> Any:
    await hand.powertools.events.publish(workflow_id, "s0", "retrying", attempt=2**31)


@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        (_no_workflow, WorkflowNotFoundError),
        (_no_step, StepNotFoundError),
        (_not_released, StepNotReleasedError),
        (_ended, AlreadyTerminalError),
        (_unstorable, UnstorableValueError),
        (_no_attempt, ValueError),
    ],
)
async def test_what_does_not_fit_the_stored_state_is_refused(
    hand: Hand, attempt: Callable[[Hand, WorkflowId], Awaitable[None]], refusal: type[PowertoolsError]
) -> None:
    workflow_id = await hand.insert(chain(2))

    with pytest.raises(refusal):
        await attempt(hand, workflow_id)

    assert await hand.one("SELECT count(*) FROM powertools.events WHERE published") == 0


async def test_a_publication_leaves_its_row_as_a_command_of_the_host(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    await hand.powertools.events.publish(workflow_id, "s0", "started")

    [command] = await hand.workflows.commands(workflow_id)
    assert (command["action"], command["step"], command["actor"]) == ("step_publish", "s0", "host")
    assert (command["outcome"], command["details"]) == ("accepted", {"change": "started"})
    assert [record.actor_id for record in await hand.powertools.audit.list()] == ["host"]


async def test_a_refused_publication_leaves_its_row_though_all_else_rolls_back(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    with pytest.raises(StepNotReleasedError):
        async with hand.conn.transaction():
            await hand.powertools.events.publish(workflow_id, "s1", "started", conn=hand.conn)

    [command] = await hand.workflows.commands(workflow_id)
    assert (command["outcome"], command["reason_code"]) == ("rejected", "waiting_on_dependencies")


async def test_the_row_of_a_publication_goes_with_the_callers_rollback(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    async with hand.conn.transaction(force_rollback=True):
        await hand.powertools.events.publish(workflow_id, "s0", "started", conn=hand.conn)

    assert await hand.workflows.commands(workflow_id) == []


async def test_an_operators_publication_is_authorized_and_audited(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    await hand.powertools.events.publish(
        workflow_id, "s0", "started", actor={"id": "ada"}, reason="the printer has it", source="web"
    )

    [kept] = await hand.powertools.audit.list()
    assert (kept.actor_id, kept.action, kept.outcome) == ("ada", "step_publish", "executed")
    assert (kept.reason, kept.surface, kept.target_id) == ("the printer has it", "web", f"{workflow_id}/s0")
    [command] = await hand.workflows.commands(workflow_id)
    assert (command["actor"], command["outcome"]) == ("ada", "accepted")


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({"actor": "ada", "reason": "because of a test"}, NotAuthorizedError),
        ({"actor": "ada"}, ReasonRequiredError),
        ({"actor": " ", "reason": "because of a test"}, UnattributedActorError),
    ],
)
async def test_an_operators_publication_that_is_refused_is_no_event(
    hand: Hand, said: Any, refusal: type[PowertoolsError]
) -> None:
    workflow_id = await hand.insert(chain(1))
    hand.powertools._services.guard._authorize = None

    with pytest.raises(refusal):
        await hand.powertools.events.publish(workflow_id, "s0", "started", **said)

    assert await hand.one("SELECT count(*) FROM powertools.events WHERE published") == 0
    [kept] = await hand.powertools.audit.list()
    assert (kept.outcome, kept.details["code"]) == ("refused", refusal.code)
    [command] = await hand.workflows.commands(workflow_id)
    assert (command["outcome"], command["reason_code"]) == ("rejected", refusal.code)
