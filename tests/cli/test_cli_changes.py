"""Signals, cancel, recovery and holds from the command line, and the list of who asked for what."""

import getpass
import socket

import pytest

from oban_powertools import Workflow, WorkflowId
from tests.support.by_hand import Hand, chain, step
from tests.support.command import on_a_terminal, powertools

WHY = ("--reason", "the account is closed")


def approval() -> Workflow:
    """approve (a signal) -> pay."""
    workflow = Workflow("expense")
    workflow.await_signal("approve", signal="approved", correlation_key="7")
    workflow.add("pay", step(), deps="approve")
    return workflow


async def failed(hand: Hand) -> str:
    """The id of a chain of three whose first step failed."""
    workflow_id = await hand.insert(chain(3))
    await hand.run(workflow_id, {"s0": ValueError("HTTP 503")})
    return str(workflow_id)


async def test_a_signal_wakes_the_step_that_waits_for_it(hand: Hand) -> None:
    workflow_id = await hand.insert(approval())

    ended = powertools("signal", "approved", "--key", "7", "--payload", '{"name": "Grace"}', dsn=hand.dsn)

    assert (ended.code, ended.out) == (0, "signal 1 is consumed\n")
    steps = await hand.steps(workflow_id)
    assert (steps["approve"].result, steps["pay"].state) == ({"name": "Grace"}, "available")


async def test_a_signal_that_comes_first_is_kept_and_a_repeat_changes_nothing(hand: Hand) -> None:
    call = ("signal", "approved", "--key", "7", "--dedupe-key", "mail-1", "--json")

    first, again = powertools(*call, dsn=hand.dsn), powertools(*call, dsn=hand.dsn)

    assert (first.code, first.json["signal"]["status"]) == (0, "stored")
    assert (again.code, again.json["signal"]["status"]) == (0, "duplicate")
    assert again.json["signal"]["id"] == first.json["signal"]["id"]


async def test_a_signal_for_workflows_that_have_begun_is_no_success_when_there_is_none(hand: Hand) -> None:
    call = ("signal", "approved", "--key", "7", "--expires-in", "1h")

    late = powertools(*call, "--only-begun", dsn=hand.dsn)
    stored = powertools(*call, "--json", dsn=hand.dsn)

    assert (late.code, late.out) == (6, "signal 1 is late\n")
    assert (stored.code, stored.json["signal"]["only_begun"]) == (0, False)
    assert stored.json["signal"]["expires_at"] is not None


async def test_a_signal_that_several_workflows_wait_for_wakes_nobody_and_is_no_success(hand: Hand) -> None:
    first, second = await hand.insert(approval()), await hand.insert(approval())

    unclear = powertools("signal", "approved", "--key", "7", dsn=hand.dsn)
    clear = powertools("signal", "approved", "--key", "7", "--workflow", str(second), dsn=hand.dsn)

    assert (unclear.code, "--workflow" in unclear.err, clear.code) == (6, True, 0)
    assert (await hand.states(first))["approve"] == "awaiting_signal"
    assert (await hand.states(second))["approve"] == "completed"


def test_a_payload_that_is_no_json_is_a_usage_error() -> None:
    ended = powertools("signal", "approved", "--key", "7", "--payload", "yes")

    assert ended.code == 2
    assert "it is not JSON" in ended.error and "text needs its own quotes" in ended.error


async def test_cancel_ends_what_waits_and_says_what_still_runs(hand: Hand) -> None:
    idle, busy = await hand.insert(chain(2)), await hand.insert(chain(2))
    await hand.start((await hand.job(busy, "s0")).id)

    of_idle = powertools("workflow", "cancel", str(idle), "--yes", *WHY, dsn=hand.dsn)
    of_busy = powertools("workflow", "cancel", str(busy), "--yes", *WHY, dsn=hand.dsn)

    assert of_idle.out == f"workflow {idle} is cancelled\n"
    assert of_busy.out == f"cancel of workflow {busy} requested; 1 step still executing, asked to stop\n"
    assert (await hand.workflow(busy)).state == "cancel_requested"


async def test_cancel_asks_on_a_terminal(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    with on_a_terminal("workflow", "cancel", str(workflow_id), *WHY, dsn=hand.dsn) as terminal:
        terminal.read_until("[y/N]")
        terminal.type("n\n")
        assert terminal.end() == 5
    assert f"Cancel workflow {workflow_id} chain with 2 steps left?" in terminal.shown
    assert (await hand.workflow(workflow_id)).state == "running"

    with on_a_terminal("workflow", "cancel", str(workflow_id), *WHY, "--yes", dsn=hand.dsn) as terminal:
        assert terminal.end() == 0
    assert (await hand.workflow(workflow_id)).state == "cancelled"


async def test_a_script_has_to_confirm_what_does_severe_harm_by_mistake(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    cancel = powertools("workflow", "cancel", str(workflow_id), *WHY, dsn=hand.dsn)
    prune = powertools("retention", "prune", *WHY, dsn=hand.dsn)

    assert (cancel.code, prune.code) == (2, 2)
    assert cancel.error.startswith("workflow_cancel needs --yes")
    assert prune.error.startswith("archive_prune needs --yes")
    assert (await hand.workflow(workflow_id)).state == "running"


async def test_cancel_of_an_ended_workflow_is_a_conflict(hand: Hand) -> None:
    workflow_id = await failed(hand)

    ended = powertools("workflow", "cancel", workflow_id, "--yes", *WHY, dsn=hand.dsn)

    assert ended.code == 5
    assert ended.error == f"workflow {workflow_id} is already failed: there is nothing left to cancel or hold"


async def test_recover_brings_a_failed_workflow_back(hand: Hand) -> None:
    workflow_id = await failed(hand)

    ended = powertools("workflow", "recover", workflow_id, *WHY, dsn=hand.dsn)

    assert (ended.code, ended.out) == (0, "retry: s0, and 2 more with it; generation 2\n")
    assert await hand.states(WorkflowId(int(workflow_id))) == {"s0": "available", "s1": "pending", "s2": "pending"}


async def test_recover_decides_what_one_step_ends_as(hand: Hand) -> None:
    workflow_id = await failed(hand)
    call = ("workflow", "recover", workflow_id, "s0", "--action", "complete", "--payload", '{"paid": 30}')

    ended = powertools(*call, *WHY, "--json", dsn=hand.dsn)

    assert ended.json["recovered"]["steps"] == ["s0"]
    s0 = (await hand.steps(WorkflowId(int(workflow_id))))["s0"]
    assert (s0.state, s0.cause, s0.result) == ("completed", "completed_by_operator", {"paid": 30})


async def test_a_recovery_that_does_not_fit_says_what_does(hand: Hand) -> None:
    workflow_id = await failed(hand)

    ended = powertools("workflow", "recover", workflow_id, "s1", *WHY, dsn=hand.dsn)

    assert ended.code == 5
    assert "retry that one, and this comes back with it; legal now: complete, skip" in ended.error


def test_a_payload_is_only_for_a_step_that_is_completed() -> None:
    ended = powertools("workflow", "recover", "1", "s0", "--payload", "1", *WHY)

    assert (ended.code, ended.error) == (
        2,
        "--payload goes with --action complete: it is the step's result (see powertools workflow recover -h)",
    )


async def test_hold_keeps_steps_from_starting_until_they_are_released(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    held = powertools("workflow", "hold", str(workflow_id), "--for", "2h", *WHY, dsn=hand.dsn)
    shown = powertools("workflow", "show", str(workflow_id), dsn=hand.dsn)
    released = powertools("workflow", "release", str(workflow_id), "s0", *WHY, dsn=hand.dsn)

    assert held.out == f"held 2 steps of workflow {workflow_id}\n"
    assert shown.out.count("held until") == 2 and "the account is closed" in shown.out
    assert released.out == f"released 1 step of workflow {workflow_id}\n"
    assert (await hand.states(workflow_id))["s0"] == "available"
    assert (await hand.steps(workflow_id))["s1"].held_until is not None


@pytest.mark.parametrize("duration", ["2", "2 h", "0s", "-1h", "1y", "9999d", "٢h"])
def test_what_is_no_duration_is_a_usage_error(duration: str) -> None:
    ended = powertools("workflow", "hold", "1", f"--for={duration}", *WHY)

    assert (ended.code, "is not a duration" in ended.error) == (2, True)


async def test_every_command_is_listed_with_who_asked_and_what_came_of_it(hand: Hand) -> None:
    workflow_id = await failed(hand)
    powertools("workflow", "cancel", workflow_id, "--yes", *WHY, dsn=hand.dsn)
    powertools("workflow", "recover", workflow_id, *WHY, dsn=hand.dsn, POWERTOOLS_ACTOR="ops-1")

    listed = powertools("workflow", "commands", workflow_id, dsn=hand.dsn)
    found = powertools("workflow", "commands", workflow_id, "--json", dsn=hand.dsn).json["commands"]

    assert [line.split()[:2] for line in listed.out.splitlines()[:1]] == [["AT", "ACTION"]]
    assert [(row["action"], row["outcome"], row["actor"], row["source"], row["reason"]) for row in found] == [
        ("workflow_retry", "accepted", "ops-1", "cli", "the account is closed"),
        ("workflow_cancel", "rejected", f"{getpass.getuser()}@{socket.gethostname()}", "cli", "the account is closed"),
    ]
    assert (found[1]["reason_code"], found[1]["workflow_id"]) == ("workflow_ended", workflow_id)
    assert "refused: workflow_ended" in listed.out


@pytest.mark.parametrize("command", ["cancel", "recover", "release"])
def test_a_change_needs_a_reason(command: str) -> None:
    ended = powertools("workflow", command, "1")

    assert (ended.code, "Missing option '--reason'" in ended.error) == (2, True)


@pytest.mark.parametrize("command", ["cancel", "recover", "release", "commands"])
def test_a_workflow_that_does_not_exist_is_not_found(command: str, dsn: str) -> None:
    more = {"commands": (), "cancel": (*WHY, "--yes")}.get(command, WHY)

    ended = powertools("workflow", command, "404", *more, dsn=dsn)

    assert (ended.code, ended.error.startswith("workflow 404 does not exist")) == (3, True)


async def test_a_workflow_is_shown_with_what_its_steps_wait_for(hand: Hand) -> None:
    inner = Workflow("inner")
    inner.add("deep", step())
    workflow = approval()
    workflow.add_workflow("nested", inner)
    workflow_id = await hand.insert(workflow)
    child_id = (await hand.steps(workflow_id))["nested"].child_id

    shown = powertools("workflow", "show", str(workflow_id), dsn=hand.dsn)
    detail = powertools("workflow", "show", str(workflow_id), "--step", "approve", dsn=hand.dsn)
    child = powertools("workflow", "show", str(child_id), dsn=hand.dsn)

    assert "waits for signal approved with key 7" in shown.out
    assert f"runs workflow {child_id}" in shown.out
    assert "correlation key" in detail.out
    assert f"nested in  workflow {workflow_id}" in child.out
