"""Repairs: a preview is the repair rolled back, and an execution is what was previewed, or nothing."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from oban_powertools import Workflow
from oban_powertools.errors import (
    CommandRefusedError,
    NotAuthorizedError,
    PowertoolsError,
    PreviewConsumedError,
    PreviewDriftedError,
    PreviewExpiredError,
    PreviewNotFoundError,
    PreviewOfAnotherActorError,
    UnattributedActorError,
    UnsupportedActionError,
)
from oban_powertools.operators.authorization import permissions_policy
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step
from tests.support.repairing import (
    OPERATOR,
    REASON,
    everything,
    execute,
    failed_chain,
    fields,
    outcomes,
    preview,
    repair,
)

# What a preview shows


async def test_a_preview_shows_every_row_before_and_after(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)

    shown = await preview(hand, "step_retry", f"{workflow_id}/s0")

    steps = fields(shown.changes, "step")
    assert {step_id: row["state"] for step_id, row in steps.items()} == {
        f"{workflow_id}/0": "available",
        f"{workflow_id}/1": "pending",
        f"{workflow_id}/2": "pending",
    }
    assert steps[f"{workflow_id}/0"]["job_id"] == f"new job of step {workflow_id}/0"
    assert fields(shown.changes, "job").keys() == {f"new job of step {workflow_id}/0"}
    assert fields(shown.changes, "workflow")[str(workflow_id)]["state"] == "running"
    assert shown.effect.steps_released == shown.effect.jobs_created == 1
    assert shown.effect.workflows_reopened == (workflow_id,)
    assert shown.effect.events == {"recovered": 3, "released": 1}
    assert shown.warnings == ["1 step may have had effects that happen again: ask whoever knows the worker"]
    assert shown.legal == ["step_retry", "step_complete", "step_skip"]
    assert (
        shown.illegal["step_hold"]
        == f"workflow {workflow_id} is already failed: there is nothing left to cancel or hold"
    )


async def test_a_preview_leaves_nothing_behind_but_itself(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    before = await everything(hand)

    await preview(hand, "workflow_retry", workflow_id)

    assert await everything(hand) == before
    assert await hand.one("SELECT count(*) FROM powertools.previews") == 1
    assert await outcomes(hand) == []


async def test_an_execution_does_what_was_shown_with_its_audit_record_and_command(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    shown = await preview(hand, "step_retry", f"{workflow_id}/s0")

    done = await execute(hand, shown)

    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending", "s2": "pending"}
    record = await hand.powertools.audit.get(done.audit_id)
    assert (record.actor_id, record.action, record.target_id) == ("ops-1", "step_retry", f"{workflow_id}/s0")
    assert (record.outcome, record.reason, record.plan_hash) == ("executed", REASON, shown.plan_hash)
    assert record.preview_id == shown.id
    assert record.before[f"step {workflow_id}/0"]["state"] == "discarded"
    assert record.after[f"step {workflow_id}/0"]["state"] == "available"
    [command] = await hand.workflows.commands(workflow_id)
    assert (command["action"], command["actor"], command["outcome"]) == ("step_retry", "ops-1", "accepted")
    assert (await hand.powertools.lifeline.get_preview(shown.id)).status == "consumed"


async def test_the_same_ready_plan_is_one_preview_with_one_token(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)

    first = await preview(hand, "workflow_retry", workflow_id)
    again = await preview(hand, "workflow_retry", workflow_id)
    of_another = await preview(hand, "workflow_retry", workflow_id, actor="ops-2")

    assert (again.id, again.preview_token, again.plan_hash) == (first.id, first.preview_token, first.plan_hash)
    assert of_another.plan_hash == first.plan_hash
    assert of_another.preview_token != first.preview_token
    assert await hand.one("SELECT count(*) FROM powertools.previews") == 2


async def test_a_token_is_stored_only_as_its_hash(hand: Hand) -> None:
    shown = await preview(hand, "workflow_retry", await failed_chain(hand))

    assert shown.preview_token is not None
    assert re.fullmatch("[0-9a-f]{64}", shown.preview_token)  # never begins with a dash, as an option would
    assert shown.preview_token not in str(await hand.rows("SELECT to_jsonb(p) FROM powertools.previews p"))


async def test_secrets_are_not_shown(hand: Hand) -> None:
    secret = "hunter2-canary"
    workflow = Workflow("secret")
    workflow.add("s0", step({"password": secret}))
    workflow.add("s1", step(), deps=["s0"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"s0": ValueError(f"password={secret}")})

    shown = await repair(hand, "step_complete", f"{workflow_id}/s0", payload={"token": secret})

    assert secret not in str(shown)
    assert secret not in str(await hand.powertools.lifeline.get_preview(shown.id))
    assert secret not in str(await hand.powertools.audit.list())
    assert (await hand.workflows.results(workflow_id))["s0"] == {"token": secret}


# Refused at once


@pytest.mark.parametrize(
    ("action", "target_type", "target_id", "code"),
    [
        ("dance", "job", "1", "unsupported_action"),
        ("preview_repair", "job", "1", "unsupported_action"),
        ("job_retry", "workflow", "1", "unsupported_target"),
        ("job_retry", "job", "one", "unsupported_target"),
        ("step_retry", "step", "41", "unsupported_target"),
        ("job_retry", "job", "41", "target_not_found"),
        ("step_retry", "step", "41/a", "target_not_found"),
        ("workflow_cancel", "workflow", "41", "target_not_found"),
        ("executor_rescue_all", "executor", "nobody", "target_not_found"),
        ("late_result_adopt", "late_result", "1", "target_not_found"),
        ("callback_retry", "callback", "1", "target_not_found"),
    ],
)
async def test_what_does_not_exist_is_refused_and_audited(
    hand: Hand, action: str, target_type: str, target_id: str, code: str
) -> None:
    with pytest.raises(PowertoolsError) as refusal:
        await hand.powertools.lifeline.preview_repair(
            OPERATOR, action=action, target_type=target_type, target_id=target_id
        )

    assert refusal.value.code == code
    assert await outcomes(hand) == [("preview_repair", "refused", code)]
    assert await hand.one("SELECT count(*) FROM powertools.previews") == 0


async def test_who_may_not_look_gets_no_preview(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    hand.powertools._services.guard._authorize = permissions_policy()

    with pytest.raises(NotAuthorizedError):
        await preview(hand, "workflow_retry", workflow_id)
    with pytest.raises(UnattributedActorError):
        await preview(hand, "workflow_retry", workflow_id, actor={})
    shown = await preview(hand, "workflow_retry", workflow_id, actor={"id": "ops-1", "permissions": ["preview_repair"]})
    with pytest.raises(NotAuthorizedError):
        await execute(hand, shown, actor={"id": "ops-1", "permissions": ["preview_repair"]})

    assert [code for _, _, code in await outcomes(hand)] == ["not_authorized", "unattributed_actor", "not_authorized"]
    assert await hand.one("SELECT status FROM powertools.previews") == "ready"


@pytest.mark.parametrize(
    ("reason", "code"), [("", "reason_required"), ("  \n ", "reason_required"), (" seven77 ", "reason_too_short")]
)
async def test_a_reason_has_eight_characters(hand: Hand, reason: str, code: str) -> None:
    shown = await preview(hand, "workflow_retry", await failed_chain(hand))

    with pytest.raises(CommandRefusedError) as refusal:
        await execute(hand, shown, reason=reason)

    assert refusal.value.code == code
    await execute(hand, shown, reason=" eight888 ")


# Tokens


async def test_a_token_counts_once(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    shown = await repair(hand, "workflow_retry", workflow_id)
    after = await everything(hand)

    with pytest.raises(PreviewConsumedError):
        await execute(hand, shown)

    assert await everything(hand) == after
    assert [outcome for _, outcome, _ in await outcomes(hand)] == ["executed", "refused"]


async def test_what_another_release_previewed_is_refused_by_one_that_cannot_do_it(hand: Hand) -> None:
    lifeline = hand.powertools.lifeline
    shown = await preview(hand, "workflow_retry", await failed_chain(hand))
    listed = await lifeline.preview_bulk(OPERATOR, "workflow_retry", {"state": "failed"})
    await hand.rows("UPDATE powertools.previews SET action = 'workflow_split'")
    await hand.rows("UPDATE powertools.bulks SET action = 'workflow_split'")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: lifeline.get_preview(shown.id),
        lambda: execute(hand, shown),
        lambda: lifeline.bulk_status(listed.id),
        lambda: lifeline.execute_bulk(OPERATOR, listed.preview_token, REASON),
    ]

    for call in calls:
        with pytest.raises(UnsupportedActionError, match="workflow_split"):
            await call()


async def test_an_execution_that_is_refused_is_listed_with_its_workflow(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    shown = await preview(hand, "step_retry", f"{workflow_id}/s0")
    await execute(hand, shown)

    with pytest.raises(PreviewConsumedError):
        await execute(hand, shown)

    listed = await hand.workflows.commands(workflow_id)
    assert [(row["step"], row["action"], row["outcome"]) for row in listed] == [
        ("s0", "step_retry", "rejected"),
        ("s0", "step_retry", "accepted"),
    ]


async def test_a_token_is_its_actors(hand: Hand) -> None:
    shown = await preview(hand, "workflow_retry", await failed_chain(hand))

    with pytest.raises(PreviewOfAnotherActorError):
        await execute(hand, shown, actor="ops-2")
    with pytest.raises(PreviewNotFoundError):
        await hand.powertools.lifeline.execute_repair(OPERATOR, "forged", REASON)

    assert [code for _, _, code in await outcomes(hand)] == ["preview_of_another_actor", "preview_not_found"]
    await execute(hand, shown)


async def test_an_expired_token_is_refused_and_the_next_preview_is_new(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    shown = await preview(hand, "workflow_retry", workflow_id)
    await hand.rows("UPDATE powertools.previews SET expires_at = clock_timestamp()")

    with pytest.raises(PreviewExpiredError):
        await execute(hand, shown)

    assert await outcomes(hand) == [("workflow_retry", "expired", "preview_expired")]
    assert (await hand.powertools.lifeline.get_preview(shown.id)).status == "expired"
    again = await preview(hand, "workflow_retry", workflow_id)
    assert again.id != shown.id
    assert again.plan_hash == shown.plan_hash


# Drift


async def _retried_elsewhere(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.recover(workflow_id, "s0", actor="ops-2", reason="sooner than that")


async def _retried_and_failed_again(hand: Hand, workflow_id: WorkflowId) -> None:
    await _retried_elsewhere(hand, workflow_id)
    await hand.run(workflow_id, {"s0": ValueError("again")})


async def _child_completed(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.recover(workflow_id, "s2", "skip", actor="ops-2", reason="sooner than that")


async def _pruned(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.rows("DELETE FROM powertools.steps; DELETE FROM powertools.workflows")


async def _edited(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.rows('UPDATE powertools.steps SET max_attempts = 7, error = \'{"error": "x"}\' WHERE position = 0')


async def _frozen(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.rows("UPDATE powertools.workflows SET semantics_version = 3")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_retried_elsewhere, "state was"),
        (_retried_and_failed_again, "generation was 1, now 2"),
        (_child_completed, "would not change any more"),
        (_pruned, "does not exist"),
        (_edited, "error was"),
        (_frozen, "semantics version 3"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_whatever_changes_after_the_preview_is_refused_with_the_difference(
    hand: Hand, change: Callable[[Hand, WorkflowId], Awaitable[None]], told: str
) -> None:
    workflow_id = await failed_chain(hand)
    shown = await preview(hand, "step_retry", f"{workflow_id}/s0")
    await change(hand, workflow_id)
    changed = await everything(hand)

    with pytest.raises(PreviewDriftedError) as refusal:
        await execute(hand, shown)

    assert told in str(refusal.value.changed)
    assert await everything(hand) == changed
    assert (await outcomes(hand))[-1] == ("step_retry", "drifted", "preview_drifted")
    assert (await hand.powertools.lifeline.get_preview(shown.id)).status == "drifted"


async def test_what_does_not_matter_to_the_repair_is_no_drift(hand: Hand) -> None:
    workflow_id, other = await failed_chain(hand), await hand.insert(chain(2))
    shown = await preview(hand, "step_retry", f"{workflow_id}/s0")
    await hand.run(other, {"s0": 1})

    await execute(hand, shown)

    assert (await hand.states(workflow_id))["s0"] == "available"


async def test_a_repair_that_fails_leaves_the_token_and_no_execution(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    shown = await preview(hand, "workflow_retry", workflow_id)
    before = await everything(hand)
    await hand.rows(
        "CREATE FUNCTION refuse_commands() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        "CREATE TRIGGER no BEFORE INSERT ON powertools.audit FOR EACH ROW "
        "WHEN (NEW.outcome = 'executed') EXECUTE FUNCTION refuse_commands()"
    )

    try:
        with pytest.raises(Exception, match="no"):
            await execute(hand, shown)
    finally:
        await hand.rows("DROP TRIGGER no ON powertools.audit; DROP FUNCTION refuse_commands()")

    assert await everything(hand) == before
    assert [outcome for _, outcome, _ in await outcomes(hand)] == ["failed"]
    await execute(hand, shown)


async def test_a_row_that_was_not_shown_is_named_when_it_has_changed(hand: Hand) -> None:
    workflow = Workflow("wide")
    workflow.add("first", step())
    workflow.add_many({f"m{n}": step() for n in range(1100)}, deps="first")
    workflow_id = await hand.insert(workflow)
    shown = await preview(hand, "workflow_hold", workflow_id, hold_for=timedelta(hours=1))
    left = {f"{workflow_id}/{n}" for n in range(1101)} - {change.id for change in shown.changes}
    position = int(min(left).partition("/")[2])
    await hand.rows("UPDATE powertools.steps SET attempt = 7 WHERE position = %s", position)

    with pytest.raises(PreviewDriftedError) as refusal:
        await execute(hand, shown)

    assert list(refusal.value.changed) == [f"step {workflow_id}/{position} was, or would become, something else"]


async def test_a_row_that_is_written_as_it_is_only_by_now_is_no_drift(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    other = await hand.insert(chain(1))
    shown = await preview(hand, "step_retry", f"{workflow_id}/s0")
    # Some trigger of somebody's writes a row of the family once more, without a change.
    await hand.rows(
        "UPDATE powertools.workflows SET parent_id = %(parent)s, parent_position = 0, root_id = %(parent)s"
        " WHERE id = %(other)s; ".replace("%(parent)s", str(workflow_id)).replace("%(other)s", str(other))
        + "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" UPDATE powertools.workflows SET name = name WHERE id = {other}; RETURN NEW; END $$;"
        "CREATE TRIGGER again AFTER UPDATE ON powertools.steps FOR EACH ROW WHEN (NEW.position = 0)"
        " EXECUTE FUNCTION again()"
    )

    try:
        done = await execute(hand, shown)
    finally:
        await hand.rows("DROP FUNCTION again CASCADE")

    assert done.total_changes == shown.total_changes
    assert (await hand.states(workflow_id))["s0"] == "available"
