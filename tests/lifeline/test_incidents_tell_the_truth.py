"""Incidents tell the truth: what they suggest works, what they count is of now, and a restart resolves nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oban_powertools import Incident, IncidentClass, Workflow
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step
from tests.support.command import powertools as run_command
from tests.support.executing import LONG_AGO, beat, die, health, rescue, restarted, silent, take, watching
from tests.support.repairing import repair
from tests.support.troubles import ADA, TROUBLES, fail, plain, project


async def of_now(hand: Hand, fingerprint: str) -> Incident:
    return await hand.powertools.lifeline.get_incident(fingerprint)


# What is suggested works


async def _never_twice(hand: Hand) -> str:
    workflow = Workflow("pays")
    workflow.add("pay", step(max_attempts=3), effects="never")
    workflow_id = await hand.insert(workflow)
    await take(hand, (await hand.job(workflow_id, "pay")).id, "p1")
    await die(hand, "p1")
    await rescue(hand)
    return TROUBLES["dead_executor"].fingerprint


async def _one_of_two_never_twice(hand: Hand) -> str:
    fingerprint = await _never_twice(hand)
    await take(hand, await plain(hand, max_attempts=3), "p1")
    return fingerprint


async def _orphaned_never_twice(hand: Hand) -> str:
    fingerprint = await _never_twice(hand)
    await project(hand)
    await hand.rows("DELETE FROM powertools.executors WHERE producer = 'p1'")
    return fingerprint.replace("dead_executor:app:oban:default:", "orphaned_jobs:")


async def _steps_fail(hand: Hand) -> str:
    for _ in range(6):
        workflow_id = await hand.insert(chain(2))
        await hand.run(workflow_id, {"s0": ValueError("no")})
    return TROUBLES["failing_jobs"].fingerprint


async def _steps_fail_for_good(hand: Hand) -> str:
    for _ in range(5):
        workflow = Workflow("pays")
        workflow.add("pay", step(), effects="never")
        await hand.run(await hand.insert(workflow), {"pay": ValueError("no")})
    return TROUBLES["failing_jobs"].fingerprint


async def _steps_are_retried_by_oban(hand: Hand) -> str:
    for _ in range(5):
        workflow = Workflow("again")
        workflow.add("s0", step(max_attempts=3))
        await hand.run(await hand.insert(workflow), {"s0": ValueError("no")})
    return TROUBLES["failing_jobs"].fingerprint


async def _failed_in_a_cancelled_workflow(hand: Hand) -> str:
    for _ in range(5):
        workflow = Workflow("nested-fails")
        workflow.add_workflow("child", chain(2))
        workflow.add("beside", step())
        await hand.insert(workflow)
    for row in await hand.rows("SELECT id FROM powertools.workflows WHERE parent_id IS NOT NULL"):
        await hand.run(row["id"], {"s0": ValueError("no")})
    return TROUBLES["failing_jobs"].fingerprint


async def _deleted(hand: Hand) -> str:
    for _ in range(3):
        await hand.insert(chain(2))
    await hand.rows("DELETE FROM oban_jobs")
    return TROUBLES["outside_edit"].fingerprint


async def _deleted_never_twice(hand: Hand) -> str:
    workflow = Workflow("pays")
    workflow.add("pay", step(), effects="never")
    await hand.insert(workflow)
    await hand.rows("DELETE FROM oban_jobs")
    return TROUBLES["outside_edit"].fingerprint


async def _suspended(hand: Hand) -> str:
    await beat(hand, "p1")
    for _ in range(2):
        await hand.insert(chain(2))
    await hand.rows("UPDATE oban_jobs SET state = 'suspended'")
    return TROUBLES["outside_edit"].fingerprint.replace("deleted", "suspended")


async def _run_again(hand: Hand) -> str:
    await beat(hand, "p1")
    workflow_id = await hand.insert(chain(1))
    job_id = (await hand.job(workflow_id, "s0")).id
    await hand.run(workflow_id, {"s0": 1})
    await hand.rows("UPDATE oban_jobs SET max_attempts = 3")
    await take(hand, job_id, "p1")
    return TROUBLES["outside_edit"].fingerprint.replace("deleted", "retried")


async def _meta_changed(hand: Hand) -> str:
    await beat(hand, "p1")
    await hand.insert(chain(2))
    await hand.rows("UPDATE oban_jobs SET meta = meta || '{\"position\": 7}'")
    return TROUBLES["outside_edit"].fingerprint.replace("job_deleted", "meta_changed")


async def _restarted(hand: Hand) -> str:
    await beat(hand, "p1")
    workflow_id = await hand.insert(chain(2))
    await hand.workflows.request_cancel(workflow_id, **ADA)
    await hand.rows("UPDATE oban_jobs SET state = 'available', cancelled_at = NULL, max_attempts = 3")
    return TROUBLES["outside_edit"].fingerprint.replace("deleted", "restarted")


async def _stuck(hand: Hand) -> str:
    workflow_id = await hand.insert(chain(3))
    await hand.rows("UPDATE powertools.steps SET pending = 2 WHERE name = 's1'")
    await hand.run(workflow_id, {"s0": 1})
    return f"workflow_stuck:workflow:{workflow_id}"


async def _callbacks_pruned(hand: Hand) -> str:
    await TROUBLES["callback_failed"].happen(hand)
    await project(hand)
    await hand.rows("DELETE FROM oban_jobs WHERE state = 'discarded'")
    return TROUBLES["callback_failed"].fingerprint


async def _late_result_of_a_completed_job(hand: Hand) -> str:
    await TROUBLES["late_result"].happen(hand)
    await hand.rows("UPDATE oban_jobs SET state = 'executing', attempted_at = now() WHERE state = 'available'")
    return TROUBLES["late_result"].fingerprint


async def _step_quarantined(hand: Hand) -> str:
    workflow_id = await hand.insert(chain(2))
    job_id = (await hand.job(workflow_id, "s0")).id
    await TROUBLES["poison_job"].happen(hand)
    return f"poison_job:{job_id}"


PRODUCER = """
INSERT INTO oban_producers (uuid, node, queue, meta)
VALUES (gen_random_uuid(), 'node-a', 'default', jsonb_build_object('local_limit', %s::int, 'paused', %s::bool))
"""


async def _paused(hand: Hand) -> str:
    await TROUBLES["queue_late"].happen(hand)
    await hand.rows(PRODUCER, 5, True)
    return TROUBLES["queue_late"].fingerprint


async def _full(hand: Hand) -> str:
    await take(hand, await plain(hand), "p1")
    await hand.rows(PRODUCER, 1, False)
    await hand.rows("UPDATE oban_jobs SET attempted_by = ARRAY['node-a', o.uuid::text] FROM oban_producers o")
    await TROUBLES["queue_late"].happen(hand)
    return TROUBLES["queue_late"].fingerprint


async def _signal_alike_in_nothing(hand: Hand) -> str:
    await hand.workflows.signal("payment", "order-7", None)
    await hand.rows("UPDATE powertools.signals SET inserted_at = inserted_at - interval '2 h'")
    return TROUBLES["unclaimed_signal"].fingerprint


CASES: dict[str, tuple[Callable[[Hand], Awaitable[str]], set[str]]] = {
    "a dead executor's only job must not run twice": (_never_twice, {"step_complete", "step_skip", "job_discard"}),
    "one of a dead executor's jobs must not run twice": (
        _one_of_two_never_twice,
        {"executor_rescue_all", "job_rescue", "step_complete", "step_skip", "job_discard"},
    ),
    "an orphaned job must not run twice": (_orphaned_never_twice, {"step_complete", "step_skip", "job_discard"}),
    "steps fail": (_steps_fail, {"step_retry", "step_skip"}),
    "steps fail that must not run twice": (_steps_fail_for_good, {"step_complete", "step_skip"}),
    "steps fail that Oban retries": (_steps_are_retried_by_oban, {"job_retry"}),
    "steps of nested workflows fail": (_failed_in_a_cancelled_workflow, {"step_retry", "step_skip"}),
    "jobs of steps are deleted": (_deleted, {"step_retry"}),
    "a job of a step that must not run twice is deleted": (_deleted_never_twice, {"step_complete", "step_skip"}),
    "jobs of steps are suspended": (_suspended, {"job_retry"}),
    "a step's job runs again": (_run_again, set()),
    "what a job runs for was changed": (_meta_changed, set()),
    "a job of a cancelled workflow was started again": (_restarted, set()),
    "a workflow is stuck": (_stuck, {"workflow_cancel"}),
    "callbacks failed and were pruned": (_callbacks_pruned, set()),
    "a late result whose job runs again": (_late_result_of_a_completed_job, {"late_result_dismiss"}),
    "a queue is paused": (_paused, {"queue_resume"}),
    "a queue is full": (_full, {"queue_scale"}),
    "a signal looks like no wait": (_signal_alike_in_nothing, {"signal_discard"}),
    "a step is quarantined": (_step_quarantined, {"job_retry", "job_discard"}),
}
"""What happened -> how, and what may be done about it."""

PLAIN = {
    IncidentClass.EXECUTOR_LATE: set[str](),
    IncidentClass.EXECUTOR_MISSING: set[str](),
    IncidentClass.DEAD_EXECUTOR: {"executor_rescue_all", "job_rescue"},
    IncidentClass.ORPHANED_JOBS: {"job_rescue", "job_discard"},
    IncidentClass.WORKFLOW_STUCK: set[str](),
    IncidentClass.WAIT_OVERDUE: {"step_complete", "step_skip", "step_cancel"},
    IncidentClass.POISON_JOB: {"job_retry", "job_discard"},
    IncidentClass.FAILING_JOBS: {"job_retry"},
    IncidentClass.LATE_RESULT: {"late_result_adopt", "late_result_dismiss"},
    IncidentClass.OUTSIDE_EDIT: {"step_retry"},
    IncidentClass.BOOKKEEPING_FAULT: set[str](),
    IncidentClass.CALLBACK_FAILED: {"callback_retry"},
    IncidentClass.WORKER_NOT_IMPORTABLE: {"job_retry", "job_discard"},
    IncidentClass.HUNG_JOBS: {"job_cancel"},
    IncidentClass.QUEUE_LATE: set[str](),
    IncidentClass.WEBHOOK_UNSERVED: set[str](),
    IncidentClass.UNCLAIMED_SIGNAL: {"signal_redirect", "signal_discard"},
}
"""Class -> what its plain trouble suggests."""


def test_every_class_is_here() -> None:
    assert {*PLAIN} == {*IncidentClass}


def test_every_act_that_can_end_a_class_is_suggested_in_some_case() -> None:
    rows = [member.row for member in IncidentClass]
    choices = [choice for row in rows for choice in (row.ended_by, *row.kinds_ended_by.values())]
    can_end = {str(act) for choice in choices for acts in choice for act in acts}

    assert can_end == set[str]().union(*PLAIN.values(), *(expected for _, expected in CASES.values()), {"job_cancel"})


STAYS = {
    (IncidentClass.FAILING_JOBS, "job_retry"): "it is over when none has failed like this for the whole window",
    (IncidentClass.HUNG_JOBS, "job_cancel"): "the job is told, and ends as it ends",
    (IncidentClass.WORKER_NOT_IMPORTABLE, "job_retry"): "it is over when one that can import it has run it",
}
"""What is suggested and does not end an incident at once -> why it may still be done about it."""
ENDS = [(name, act) for name, acts in PLAIN.items() for act in sorted(acts) if (name, act) not in STAYS]


@pytest.mark.parametrize(("name", "act"), ENDS, ids=[f"{name}-{act}" for name, act in ENDS])
async def test_what_is_suggested_ends_the_incident_when_it_is_done_to_all_that_it_names(
    hand: Hand, name: IncidentClass, act: str
) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    await project(hand, **trouble.settings)
    incident = await of_now(hand, trouble.fingerprint)

    for each in incident.repairs:
        if each.action == act:
            await repair(hand, act, each.target_id, **({"to": each.to} if each.to else {}))

    assert trouble.fingerprint not in await project(hand, **trouble.settings)


@pytest.mark.parametrize("name", sorted(PLAIN))
async def test_of_every_class_whatever_is_suggested_can_be_previewed(hand: Hand, name: str) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    async with restarted(hand, LONG_AGO):
        await project(hand, **trouble.settings)
        suggested = await preview_all(hand, trouble.fingerprint)
    await trouble.end(hand)

    assert suggested == PLAIN[IncidentClass(name)]


@pytest.mark.parametrize("what", CASES)
async def test_of_every_case_whatever_is_suggested_can_be_previewed(hand: Hand, what: str) -> None:
    happen, expected = CASES[what]
    fingerprint = await happen(hand)
    await project(hand)

    suggested = await preview_all(hand, fingerprint)
    await tidy(hand)

    assert suggested == expected


async def preview_all(hand: Hand, fingerprint: str) -> set[str]:
    """Preview everything that an incident suggests, one by one and in bulk; which repairs that were."""
    incident = await of_now(hand, fingerprint)
    lifeline = hand.powertools.lifeline
    for each in incident.repairs:
        if each.action == "queue_resume":
            assert await hand.powertools.queues.resume(each.target_id, **ADA) > 0
            continue
        if each.action == "queue_scale":
            assert each.limit is not None
            assert await hand.powertools.queues.scale(each.target_id, each.limit, **ADA) > 0
            continue
        previewed = await lifeline.preview_repair(
            "ops-1",
            action=each.action,
            target_type=each.target_type,
            target_id=each.target_id,
            to=each.to,
            incident_fingerprint=fingerprint,
        )
        assert previewed.status == "ready"
    for bulk in incident.bulk:
        listed = await lifeline.preview_bulk("ops-1", bulk.action, {"ids": list(bulk.ids)})
        assert listed.total == len(bulk.ids) > 1
    return {each.action for each in incident.repairs}


async def tidy(hand: Hand) -> None:
    """What the invariants would complain of."""
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE state IN ('suspended', 'executing')")
    for incident in await hand.powertools.lifeline.list_incidents(incident_class="workflow_stuck"):
        if incident.subject_type == "workflow":
            await hand.workflows.request_cancel(WorkflowId(int(incident.subject_id)), **ADA)


async def test_what_many_share_is_suggested_for_all_of_them_at_once(hand: Hand) -> None:
    fingerprint = await _steps_fail(hand)
    await project(hand)

    incident = await of_now(hand, fingerprint)

    assert [(bulk.action, len(bulk.ids)) for bulk in incident.bulk] == [("step_retry", 6), ("step_skip", 6)]
    assert incident.to_dict()["bulk"][0]["action"] == "step_retry"


async def test_what_a_list_suggests_can_be_previewed_too(hand: Hand) -> None:
    await TROUBLES["dead_executor"].happen(hand)

    [incident] = (await project(hand)).values()

    assert {each.action for each in incident.repairs} == PLAIN[IncidentClass.DEAD_EXECUTOR]


async def test_what_somebody_repaired_meanwhile_is_suggested_no_more(hand: Hand) -> None:
    fingerprint = await _steps_fail(hand)
    await project(hand)
    [first, *_] = (await of_now(hand, fingerprint)).bulk[0].ids
    workflow_id, _, name = first.partition("/")
    await hand.workflows.recover(WorkflowId(int(workflow_id)), name, **ADA)

    assert first not in (await of_now(hand, fingerprint)).bulk[0].ids


# What is counted is of now


async def test_only_workflows_that_go_on_wait(hand: Hand) -> None:
    fingerprint = await _steps_fail(hand)
    await project(hand)
    ended = await of_now(hand, fingerprint)
    [row, *_] = await hand.rows("SELECT id FROM powertools.workflows ORDER BY id")
    await hand.rows("UPDATE powertools.incidents SET waiting_workflows = 7, waiting_steps = 7")
    await project(hand)

    assert (ended.waiting_workflows, ended.waiting_steps, row["id"]) == (0, 0, 1)
    assert (await of_now(hand, fingerprint)).waiting_steps == 0


async def test_what_only_holds_for_a_time_counts_nothing_any_more(hand: Hand) -> None:
    trouble = TROUBLES["failing_jobs"]
    await trouble.happen(hand)
    before = (await project(hand))[trouble.fingerprint]
    await hand.rows("UPDATE oban_jobs SET state = 'completed', discarded_at = NULL")

    after = (await project(hand))[trouble.fingerprint]

    assert (before.count, after.count, after.waiting_steps) == (5, 0, 0)
    await trouble.end(hand)


async def test_what_is_over_keeps_nobody_waiting(hand: Hand) -> None:
    trouble = TROUBLES["workflow_stuck"]
    await trouble.happen(hand)
    before = (await project(hand))[trouble.fingerprint]

    await trouble.end(hand)
    await project(hand)

    after = await of_now(hand, trouble.fingerprint)
    assert (before.waiting_workflows, after.state, after.waiting_workflows, after.waiting_steps) == (
        1,
        "resolved",
        0,
        0,
    )


@pytest.mark.parametrize("name", ["executor_missing", "executor_late", "dead_executor"])
async def test_the_timeline_tells_only_what_changed(hand: Hand, name: str) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    async with restarted(hand, LONG_AGO):
        for _ in range(3):
            await project(hand, **trouble.settings)
            await hand.rows("UPDATE powertools.incidents SET last_detected_at = last_detected_at - interval '2 min'")

    assert [entry.kind for entry in (await of_now(hand, trouble.fingerprint)).timeline] == ["detected"]
    await trouble.end(hand)


async def test_looking_again_takes_no_ids(hand: Hand) -> None:
    await TROUBLES["failing_jobs"].happen(hand)
    first = (await project(hand))[TROUBLES["failing_jobs"].fingerprint]
    for _ in range(50):
        await project(hand)
    await TROUBLES["callback_failed"].happen(hand)

    second = (await project(hand))[TROUBLES["callback_failed"].fingerprint]

    assert second.id == first.id + 1


async def test_an_executor_that_the_list_calls_missing_is_an_incident_at_once(hand: Hand) -> None:
    await watching(hand, 60)
    await beat(hand, "p1")
    await silent(hand, "p1", 16)

    found = await project(hand)

    assert (await health(hand))["p1"].state == "missing"
    assert [*found] == ["executor_missing:app:oban:default:node-a:p1"]


async def test_a_heartbeat_row_removed_by_hand_leaves_one_incident_with_a_way_out(hand: Hand) -> None:
    await TROUBLES["dead_executor"].happen(hand)
    await project(hand)

    await hand.rows("DELETE FROM powertools.executors WHERE producer = 'p1'")
    [incident] = (await project(hand)).values()

    assert incident.fingerprint == "orphaned_jobs:node-a:p1"
    assert await preview_all(hand, incident.fingerprint) == {"job_rescue", "job_discard"}
    resolved = await of_now(hand, TROUBLES["dead_executor"].fingerprint)
    assert resolved.timeline[-1].detail["because"] == "its row was removed: what it had in hand is orphaned"
    await tidy(hand)


# A restart of the server resolves nothing


@pytest.mark.parametrize(
    "name", ["executor_late", "executor_missing", "dead_executor", "orphaned_jobs", "workflow_stuck"]
)
async def test_a_restart_of_the_server_resolves_nothing(hand: Hand, name: str) -> None:
    trouble = TROUBLES[name]
    if name == "workflow_stuck":
        # not stopped, but missing for long
        await beat(hand, "p1")
        await silent(hand, "p1", 7200)
    await trouble.happen(hand)
    async with restarted(hand, LONG_AGO):
        before = (await project(hand, **trouble.settings))[trouble.fingerprint]

    async with restarted(hand):
        after = (await project(hand, **trouble.settings)).get(trouble.fingerprint)
    await trouble.end(hand)

    assert after is not None
    assert (after.id, after.reopened, after.opened_at) == (before.id, 0, before.opened_at)
    assert trouble.fingerprint not in await project(hand, **trouble.settings)


async def test_who_was_missing_before_a_restart_is_missing_after_it(hand: Hand) -> None:
    trouble: Any = TROUBLES["executor_missing"]
    await trouble.happen(hand)
    async with restarted(hand, LONG_AGO):
        await project(hand, **trouble.settings)

    async with restarted(hand):
        found = await health(hand, **trouble.settings)
    await beat(hand, "p1")

    assert found["p1"].state == "missing"
    assert (await health(hand))["p1"].state == "healthy"


async def test_failures_are_told_as_they_are(hand: Hand) -> None:
    await fail(hand, *[await plain(hand) for _ in range(5)])

    [incident] = (await project(hand)).values()

    assert incident.title == "5 jobs of tests.support.by_hand.Scripted failed with ValueError"


async def test_a_list_says_when_nobody_has_looked_for_long(hand: Hand) -> None:
    never = run_command("incidents", "list", dsn=hand.dsn)
    await project(hand)
    now = run_command("incidents", "list", dsn=hand.dsn)
    await hand.rows("UPDATE powertools.incident_projection SET projected_at = projected_at - interval '1 h'")

    long_ago = run_command("incidents", "list", dsn=hand.dsn)

    assert "nobody has looked yet" in never.err
    assert "nobody has looked" not in now.err
    assert "nobody has looked for 1 h" in long_ago.err
