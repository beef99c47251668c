"""Nobody changes anything unless the host allows it; what was refused is kept."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from oban_powertools import Action, Actor, AllowAll, Settings, Target, TargetType, Workflows, permissions_policy
from oban_powertools.errors import NotAuthorizedError, ReasonRequiredError, UnattributedActorError
from oban_powertools.operators.authorization import ActorType, Guard, Severity, find_actor
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step

ADA: Any = {"actor": "ada", "reason": "because of a test"}
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "authorization.md"
TARGET = Target.of_workflow(WorkflowId(1))

CALLS: dict[Action, Callable[..., Any]] = {
    Action.WORKFLOW_CANCEL: lambda w, i, **who: w.request_cancel(i, **who),
    Action.WORKFLOW_RETRY: lambda w, i, **who: w.recover(i, **who),
    Action.STEP_RETRY: lambda w, i, **who: w.recover(i, "s0", **who),
    Action.STEP_CANCEL: lambda w, i, **who: w.recover(i, "s0", "cancel", **who),
    Action.STEP_SKIP: lambda w, i, **who: w.recover(i, "s0", "skip", **who),
    Action.STEP_COMPLETE: lambda w, i, **who: w.complete_step(i, "s0", **who),
    Action.WORKFLOW_HOLD: lambda w, i, **who: w.hold(i, hold_for=timedelta(hours=1), **who),
    Action.STEP_HOLD: lambda w, i, **who: w.hold(i, "s0", hold_for=timedelta(hours=1), **who),
    Action.WORKFLOW_RELEASE: lambda w, i, **who: w.release(i, **who),
    Action.STEP_RELEASE: lambda w, i, **who: w.release(i, "s0", **who),
}


class Host:
    """A host's policy that the test sets and looks into."""

    def __init__(self) -> None:
        self.answer: Any = True
        self.asked: list[tuple[Actor, Action, Target]] = []

    def __call__(self, actor: Actor, action: Action, target: Target) -> Any:
        self.asked.append((actor, action, target))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
async def host(hand: Hand) -> AsyncIterator[Host]:
    """The policy that decides for ``hand.workflows``."""
    host = Host()
    hand.workflows = guarded(hand, Guard(host))
    yield host


def guarded(hand: Hand, guard: Guard) -> Workflows:
    return Workflows(hand.services(guard=guard, settings=Settings(payload_limit=1000)))


def test_every_action_has_its_row_of_policy() -> None:
    assert all(act.row.targets and act.row.permission for act in Action)


def test_whatever_can_do_harm_needs_a_reason() -> None:
    assert [
        act for act in Action if act.row.severity in (Severity.HIGH, Severity.SEVERE) and not act.row.needs_reason
    ] == []
    assert {act for act in Action if act.row.permission == "execute_repair" and not act.row.needs_reason} == set()


def test_the_reference_has_the_row_of_every_action() -> None:
    written = re.findall(r"^\| `(\w+)` \| ([^|]+) \| `(\w+)` \| (\w+) \| (yes|no) \|$", REFERENCE.read_text(), re.M)
    whatever = set(Action.EXECUTE_REPAIR.row.targets)

    assert written == [
        (
            action,
            "whatever is repaired" if set(action.row.targets) == whatever else ", ".join(action.row.targets),
            action.row.permission,
            action.row.severity,
            "yes" if action.row.needs_reason else "no",
        )
        for action in Action
    ]
    assert all(f"`{kind}`" in REFERENCE.read_text() for kind in TargetType)


@pytest.mark.parametrize("action", CALLS)
async def test_every_command_is_asked_for_with_what_is_known_of_its_target(
    hand: Hand, host: Host, action: Action
) -> None:
    workflow_id = await hand.insert(chain(1, tags=["eu"]))
    host.answer = False

    with pytest.raises(NotAuthorizedError) as refused:
        await CALLS[action](hand.workflows, workflow_id, **ADA)

    [(actor, asked, target)] = host.asked
    assert (actor.id, asked, target.workflow_id) == ("ada", action, workflow_id)
    assert (target.workflow_name, target.workflow_tags, target.type) == ("chain", ("eu",), action.split("_")[0])
    if target.type == TargetType.STEP:
        assert (target.id, target.step) == (f"{workflow_id}/s0", "s0")
        assert (target.queue, target.worker) == ("default", "tests.support.by_hand.Scripted")
    assert (refused.value.actor, refused.value.action) == ("ada", action)
    assert await hand.states(workflow_id) == {"s0": "available"}


@pytest.mark.parametrize("action", CALLS)
async def test_a_refusal_is_audited_and_kept_as_a_command(hand: Hand, host: Host, action: Action) -> None:
    workflow_id = await hand.insert(chain(1))
    host.answer = PermissionError("not on a Friday")

    with pytest.raises(NotAuthorizedError, match=f"'ada' may not {action} .*: not on a Friday"):
        async with hand.conn.transaction():
            await CALLS[action](hand.workflows, workflow_id, conn=hand.conn, **ADA)

    [kept] = await hand.powertools.audit.list()
    assert (kept.actor_id, kept.action, kept.outcome, kept.reason) == ("ada", action, "refused", ADA["reason"])
    assert (kept.details["code"], kept.before, kept.after) == ("not_authorized", None, None)
    [command] = await hand.workflows.commands(workflow_id)
    assert (command["outcome"], command["reason_code"]) == ("rejected", "not_authorized")


@pytest.mark.parametrize(
    ("status", "action"), [("discarded", Action.STEP_CANCEL), ("cancelled", Action.STEP_CANCEL), ("completed", None)]
)
async def test_who_may_only_complete_a_step_cannot_fail_it(
    hand: Hand, host: Host, status: str, action: Action | None
) -> None:
    workflow_id = await hand.insert(chain(1))

    await hand.workflows.complete_step(workflow_id, "s0", status=status, **ADA)

    assert [asked for _, asked, _ in host.asked] == [action or Action.STEP_COMPLETE]


async def test_without_authorize_nobody_changes_anything_and_is_told_what_to_pass(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    workflows = guarded(hand, Guard(None))

    for call in CALLS.values():
        with pytest.raises(NotAuthorizedError, match=r"pass Powertools\(oban, authorize=\.\.\.\)"):
            await call(workflows, workflow_id, **ADA)

    assert await hand.states(workflow_id) == {"s0": "available"}


async def test_the_hosts_own_program_is_not_asked_for(hand: Hand, host: Host) -> None:
    host.answer = False
    workflow_id = await hand.insert(chain(1))

    await hand.workflows.signal("approved", "7")
    await hand.workflows.complete_step(workflow_id, "s0")

    assert (await hand.states(workflow_id), host.asked) == ({"s0": "completed"}, [])
    [kept] = await hand.powertools.audit.list()
    assert (kept.actor_id, kept.actor_type, kept.action, kept.outcome) == (
        "host",
        "service",
        "step_complete",
        "executed",
    )
    [command] = await hand.workflows.commands(workflow_id)
    assert (command["actor"], command["outcome"]) == ("host", "accepted")


@pytest.mark.parametrize("actor", ["", " ", {}, {"id": None}, {"id": " "}, {"name": "x"}])
async def test_an_actor_without_an_id_is_refused_before_anybody_is_asked(hand: Hand, host: Host, actor: Any) -> None:
    workflow_id = await hand.insert(chain(1))

    for call in CALLS.values():
        with pytest.raises(UnattributedActorError):
            await call(hand.workflows, workflow_id, actor=actor, reason="because of a test")

    assert host.asked == []
    assert {(kept.actor_id, kept.outcome) for kept in await hand.powertools.audit.list()} == {("", "refused")}


async def test_an_operator_who_completes_a_step_has_to_say_why(hand: Hand, host: Host) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(ReasonRequiredError):
        await hand.workflows.complete_step(workflow_id, "s0", actor="ada")

    assert (await hand.states(workflow_id), host.asked) == ({"s0": "available"}, [])


async def test_the_host_may_take_its_time_while_nothing_is_locked(hand: Hand, host: Host) -> None:
    workflow_id = await hand.insert(chain(1))
    asked, decided = asyncio.Event(), asyncio.Event()

    async def think(*_: object) -> bool:
        asked.set()
        await decided.wait()
        return True

    async with asyncio.timeout(20):
        workflows = guarded(hand, Guard(think))
        cancel = asyncio.create_task(workflows.request_cancel(workflow_id, **ADA))
        await asked.wait()
        await hand.rows("SELECT FROM powertools.workflows FOR UPDATE NOWAIT")
        decided.set()
        await cancel

    assert await hand.states(workflow_id) == {"s0": "cancelled"}


@pytest.mark.parametrize("answer", [False, None, 1, "yes", ValueError("secret=hunter2"), NotImplementedError()])
async def test_only_true_allows(answer: Any) -> None:
    host = Host()
    host.answer = answer

    with pytest.raises(NotAuthorizedError) as refused:
        await Guard(host).check(Actor(id="ada"), TARGET, Action.WORKFLOW_CANCEL)

    assert "hunter2" not in str(refused.value)


async def test_each_action_that_is_asked_for_has_to_be_allowed() -> None:
    guard = Guard(lambda _, action, __: action is Action.EXECUTE_REPAIR)

    await guard.check(Actor(id="ada"), TARGET, Action.EXECUTE_REPAIR)
    with pytest.raises(NotAuthorizedError, match="workflow_cancel"):
        await guard.check(Actor(id="ada"), TARGET, Action.EXECUTE_REPAIR, Action.WORKFLOW_CANCEL)


@pytest.mark.parametrize("action", Action)
async def test_permissions_policy_allows_what_the_actors_permissions_name(action: Action) -> None:
    policy = permissions_policy()
    everything = {act.row.permission for act in Action}
    needed = action.row.permission

    def ask(permissions: Any) -> Any:
        actor = find_actor({"id": "ada", "permissions": permissions})
        assert actor is not None
        return policy(actor, action, TARGET)

    assert (ask([needed]), ask(everything)) == (True, True)
    assert not any(ask(given) for given in ([], sorted(everything - {needed}), needed, None, {needed: True}))
    assert not policy(Actor(id="ada"), action, TARGET)


def test_allow_all_says_so_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    policy = AllowAll()

    assert policy(Actor(id="ada"), Action.WORKFLOW_CANCEL, TARGET)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_an_actor_is_kept_with_type_label_and_request_and_without_claims() -> None:
    given = {"id": " ada ", "label": "Ada L.", "type": "agent", "request_id": "r-7", "permissions": ["x"]}

    actor = find_actor(given)

    assert actor == Actor(id="ada", type=ActorType.AGENT, label="Ada L.", request_id="r-7")
    assert actor is not None
    assert actor.claims["permissions"] == ["x"]
    assert "permissions" not in repr(actor)


@pytest.mark.parametrize("given", [{"id": "bot", "on_behalf_of": " ada "}, Actor(id="bot", on_behalf_of=" ada ")])
def test_an_actor_says_on_whose_behalf_it_acts(given: Any) -> None:
    actor = find_actor(given)

    assert actor is not None
    assert actor.on_behalf_of == "ada"


def test_nobody_may_claim_to_be_powertools_itself() -> None:
    for given in ({"id": "x", "type": "system"}, Actor(id="x", type=ActorType.SYSTEM)):
        with pytest.raises(ValueError, match="Powertools itself"):
            find_actor(given)


async def test_a_workflow_inserted_in_the_same_transaction_is_known_to_the_policy(hand: Hand, host: Host) -> None:
    async with hand.conn.transaction():
        handle = await hand.workflows.insert(chain(1, on_finished=step()), conn=hand.conn)
        await hand.workflows.request_cancel(handle.id, conn=hand.conn, **ADA)

    [(_, _, target)] = host.asked
    assert target.workflow_name == "chain"
