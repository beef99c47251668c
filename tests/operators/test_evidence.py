"""Every command leaves a row, a refused one too; nothing of an unknown semantics version is changed."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from oban_powertools.errors import (
    CommandRefusedError,
    IllegalTransitionError,
    NotFoundError,
    ReasonRequiredError,
    StepNotFoundError,
    UnattributedActorError,
    UnsupportedSemanticsError,
    WorkflowEndedError,
    WorkflowNotFoundError,
)
from oban_powertools.states import WorkflowId
from oban_powertools.workflows import Workflows
from tests.support.by_hand import Hand, chain, step

type Command = Callable[..., Awaitable[Any]]

ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}
NOWHERE = WorkflowId(4711)

COMMANDS: dict[str, Command] = {
    "workflow_cancel": Workflows.request_cancel,
    "workflow_retry": lambda w, i, **given: w.recover(i, **given),
    "step_skip": lambda w, i, **given: w.recover(i, "s0", "skip", **given),
    "step_complete": lambda w, i, **given: w.recover(i, "s0", "complete", **given),
    "step_cancel": lambda w, i, **given: w.recover(i, "s0", "cancel", **given),
    "step_hold": lambda w, i, **given: w.hold(i, "s0", hold_for=timedelta(hours=1), **given),
    "step_release": lambda w, i, **given: w.release(i, "s0", **given),
}


async def rows(hand: Hand) -> list[dict[str, Any]]:
    return await hand.rows("SELECT * FROM powertools.commands ORDER BY id")


@pytest.mark.parametrize("action", COMMANDS)
async def test_an_accepted_command_says_who_why_and_through_which_door(hand: Hand, action: str) -> None:
    workflow_id = await hand.insert(chain(2))
    if action == "workflow_retry":
        await hand.run(workflow_id, {"s0": ValueError("x")})

    await COMMANDS[action](hand.workflows, workflow_id, actor={"id": " ops-1 "}, reason=" because of it ", source="cli")

    [kept] = await hand.workflows.commands(workflow_id)
    assert (kept["action"], kept["actor"], kept["reason"], kept["source"]) == (action, "ops-1", "because of it", "cli")
    assert (kept["outcome"], kept["reason_code"], kept["legal_next_steps"]) == ("accepted", None, [])
    assert kept["step"] == (None if action in ("workflow_cancel", "workflow_retry") else "s0")


@pytest.mark.parametrize("action", COMMANDS)
async def test_without_an_actor_or_a_reason_nothing_happens(hand: Hand, action: str) -> None:
    workflow_id = await hand.insert(chain(1))

    for actor in ("", " ", {}, {"id": None}, {"id": ""}, {"name": "x"}, None):
        with pytest.raises(UnattributedActorError):
            await COMMANDS[action](hand.workflows, workflow_id, actor=actor, reason="because of a test")
    for reason in ("", " \n", None):
        with pytest.raises(ReasonRequiredError):
            await COMMANDS[action](hand.workflows, workflow_id, actor="ops-1", reason=reason)

    assert await hand.states(workflow_id) == {"s0": "available"}


async def test_a_command_without_a_reason_is_kept_as_refused(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(ReasonRequiredError):
        await hand.workflows.request_cancel(workflow_id, actor="ops-1", reason=" ")
    with pytest.raises(UnattributedActorError):
        await hand.workflows.request_cancel(workflow_id, actor="", reason="because of a test")

    assert [(c["actor"], c["outcome"], c["reason_code"]) for c in await rows(hand)] == [
        ("ops-1", "rejected", "reason_required"),
        ("", "rejected", "unattributed_actor"),
    ]


@pytest.mark.parametrize("action", COMMANDS)
async def test_a_workflow_or_step_that_does_not_exist_leaves_its_row(hand: Hand, action: str) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.rows("UPDATE powertools.steps SET name = 'renamed'")

    with pytest.raises(WorkflowNotFoundError, match="powertools workflow list"):
        await COMMANDS[action](hand.workflows, NOWHERE, **ASKED)
    if action not in ("workflow_cancel", "workflow_retry"):
        with pytest.raises(StepNotFoundError, match=f"powertools workflow show {workflow_id}"):
            await COMMANDS[action](hand.workflows, workflow_id, **ASKED)

    assert {(c["workflow_id"], c["reason_code"]) for c in await rows(hand)} - {(workflow_id, "step_not_found")} == {
        (NOWHERE, "workflow_not_found")
    }


async def refused_ways(hand: Hand) -> list[tuple[Command, type[Exception]]]:
    """Commands that are refused on an ended workflow of one completed step."""
    return [
        (COMMANDS["workflow_cancel"], WorkflowEndedError),
        (COMMANDS["step_skip"], IllegalTransitionError),
        (COMMANDS["step_hold"], WorkflowEndedError),
        (lambda w, i, **_: w.complete_step(i, "s0"), CommandRefusedError),
        (lambda w, i, **given: w.recover(i, "s9", **given), StepNotFoundError),
    ]


async def test_a_refusal_survives_the_rollback_of_the_callers_transaction(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run_all(workflow_id)

    for command, error in await refused_ways(hand):
        with pytest.raises(error):
            async with hand.conn.transaction():
                await hand.rows("UPDATE powertools.workflows SET name = 'written in the same transaction'")
                await command(hand.workflows, workflow_id, conn=hand.conn, **ASKED)

    kept = await rows(hand)
    assert [c["outcome"] for c in kept] == ["rejected"] * 5
    assert all(c["details"]["message"] for c in kept)
    assert (await hand.workflow(workflow_id)).name == "chain"


async def test_a_refusal_leaves_the_callers_transaction_usable(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run_all(workflow_id)

    async with hand.conn.transaction():
        await hand.rows("UPDATE powertools.workflows SET name = 'kept'")
        for command, error in await refused_ways(hand):
            with pytest.raises(error):
                await command(hand.workflows, workflow_id, conn=hand.conn, **ASKED)

    assert ((await hand.workflow(workflow_id)).name, len(await rows(hand))) == ("kept", 5)


async def test_an_accepted_command_goes_with_the_callers_rollback(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    async with hand.conn.transaction(force_rollback=True):
        await hand.workflows.request_cancel(workflow_id, conn=hand.conn, **ASKED)

    assert (await rows(hand), (await hand.workflow(workflow_id)).state) == ([], "running")


@pytest.mark.parametrize("action", [*COMMANDS, "complete_step"])
async def test_a_workflow_of_another_semantics_version_is_read_and_explained_and_never_changed(
    hand: Hand, action: str
) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.rows("UPDATE powertools.workflows SET semantics_version = 3")
    before = await hand.steps(workflow_id)

    with pytest.raises(UnsupportedSemanticsError, match="semantics version 3"):
        if action == "complete_step":
            await hand.workflows.complete_step(workflow_id, "s0")
        else:
            await COMMANDS[action](hand.workflows, workflow_id, **ASKED)

    [kept] = await hand.workflows.commands(workflow_id)
    assert (kept["outcome"], kept["reason_code"]) == ("rejected", "unsupported_semantics")
    assert await hand.steps(workflow_id) == before
    assert (await hand.workflow(workflow_id)).semantics_version == 3
    explained = await hand.powertools.explain.workflow_step(workflow_id, "s0")
    assert explained.legal_actions == ()
    assert {a.refusal for a in explained.illegal_actions} == {"unsupported_semantics"}
    assert (await hand.powertools.explain.workflow(workflow_id)).workflow_id == workflow_id


async def test_commands_are_listed_newest_first_and_no_more_than_asked(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1, on_finished=step()))
    for number in range(3):
        await hand.workflows.release(workflow_id, actor="ops-1", reason=f"number {number}")

    assert [c["reason"] for c in await hand.workflows.commands(workflow_id, limit=2)] == ["number 2", "number 1"]


def test_every_refusal_has_a_code_of_its_own() -> None:
    def classes(error: type[Exception]) -> list[Any]:
        return [error, *(c for sub in error.__subclasses__() for c in classes(sub))]

    found = [error for base in (CommandRefusedError, NotFoundError) for error in classes(base)]
    codes = [error.code for error in found if not error.__name__.startswith("_")]
    assert len(codes) == len(set(codes))
