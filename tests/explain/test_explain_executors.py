"""Explanations of steps whose executor is gone, from the evidence that rescue goes by; quarantine; open incidents."""

from datetime import timedelta
from typing import Any

from oban_powertools import Workflow
from oban_powertools.explain import ExplainedIncident, StepExplanation
from oban_powertools.explain.explain import explain_step
from oban_powertools.states import OperatorStatus, WorkflowId
from tests.support.by_hand import Hand, step
from tests.support.executing import LONG_AGO, beat, die, heartbeat, rescue, restarted, silent, stop, take, watching
from tests.support.explaining import causes, codes, enqueue, job_id_of, register, sync
from tests.support.troubles import project

FIRST = heartbeat("p1")["executor_id"]


async def running_on_p1(hand: Hand) -> WorkflowId:
    """``fetch`` of sync runs in the hands of p1, which beats."""
    workflow_id = await hand.insert(sync())
    await beat(hand, "p1")
    await take(hand, (await hand.job(workflow_id, "fetch")).id, "p1")
    return workflow_id


async def test_a_step_of_a_beating_executor_runs_though_obans_own_table_is_empty(hand: Hand) -> None:
    workflow_id = await running_on_p1(hand)

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.RUNNING, [])
    assert explained.summary.startswith("fetch is running (attempt 1 of 1")
    await hand.run_all(workflow_id)


async def test_a_step_whose_executor_is_gone_names_it_and_since_when(hand: Hand) -> None:
    workflow_id = await running_on_p1(hand)
    await silent(hand, "p1", 180)
    await watching(hand, 200)
    await hand.rows("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'node-a', 'default')")

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")
    waiting = await hand.powertools.explain.workflow_step(workflow_id, "notify")

    [blocker] = explained.blockers
    assert (explained.status, blocker.code) == (OperatorStatus.BLOCKED, "orphaned_by_missing_executor")
    assert explained.summary == f"fetch is marked executing, but its executor {FIRST} is gone: last seen 3 min ago"
    seen = await hand.one("SELECT beat_at FROM powertools.executors WHERE producer = 'p1'")
    assert (blocker.details["executor_id"], blocker.details["executor_state"]) == (FIRST, "gone")
    assert (blocker.details["node"], blocker.details["last_seen_at"]) == ("node-a", seen)
    assert (waiting.status, causes(waiting)) == (OperatorStatus.BLOCKED, {"fetch": "orphaned_by_missing_executor"})


async def test_an_executor_that_was_stopped_says_when(hand: Hand) -> None:
    workflow_id = await running_on_p1(hand)
    await stop(hand, "p1")

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert explained.summary == f"fetch is marked executing, but its executor {FIRST} stopped 0 s ago"
    assert explained.blockers[0].details["executor_state"] == "stopped"


async def explained_with(
    hand: Hand, workflow_id: WorkflowId, late_after: float, missing_after: float
) -> StepExplanation:
    """``fetch`` under these thresholds, in seconds. They are counted from the server's start at the earliest."""
    await hand.settings(
        executor_late_after=timedelta(seconds=late_after), executor_missing_after=timedelta(seconds=missing_after)
    )
    async with hand.conn.transaction():
        return await explain_step(hand.session, workflow_id, "fetch")


async def test_silence_without_a_witness_is_no_evidence_until_it_is_missing_by_the_settings(hand: Hand) -> None:
    workflow_id = await running_on_p1(hand)
    await silent(hand, "p1", 3600)

    async with restarted(hand, LONG_AGO):
        silent_so_far = await explained_with(hand, workflow_id, 0.1, 7200)
        missing = await explained_with(hand, workflow_id, 0.1, 0.2)

    assert (silent_so_far.status, codes(silent_so_far)) == (OperatorStatus.BLOCKED, ["orphaned_by_missing_executor"])
    assert f"its executor {FIRST} is silent: last seen 1 h ago; it counts as missing in " in silent_so_far.summary
    assert silent_so_far.blockers[0].details["executor_state"] == "silent"
    assert (missing.status, codes(missing)) == (OperatorStatus.BLOCKED, ["orphaned_by_missing_executor"])
    assert missing.blockers[0].details["executor_state"] == "missing"


async def test_what_is_left_to_an_operator_says_so(hand: Hand) -> None:
    workflow = Workflow("charges")
    workflow.add("charge", step(max_attempts=3), effects="never")
    workflow_id = await hand.insert(workflow)
    await take(hand, (await hand.job(workflow_id, "charge")).id, "p1")
    await die(hand, "p1")
    await rescue(hand)

    explained = await hand.powertools.explain.workflow_step(workflow_id, "charge")

    assert explained.summary == (
        f"charge is marked executing, but its executor {FIRST} is gone: last seen 1 min ago; it is left to an operator"
    )
    assert explained.blockers[0].details["left_to_operator"] is True


async def quarantined(hand: Hand) -> WorkflowId:
    """``fetch`` has killed three executors."""
    workflow = Workflow("poison")
    workflow.add("fetch", step(max_attempts=9))
    workflow.add("notify", step(), deps="fetch")
    workflow_id = await hand.insert(workflow)
    for producer in ("p1", "p2", "p3"):
        await take(hand, (await hand.job(workflow_id, "fetch")).id, producer)
        await die(hand, producer)
        await rescue(hand)
    return workflow_id


async def test_a_quarantined_step_says_that_and_what_it_did(hand: Hand) -> None:
    workflow_id = await quarantined(hand)

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")
    waiting = await hand.powertools.explain.workflow_step(workflow_id, "notify")
    whole = await hand.powertools.explain.workflow(workflow_id)

    [blocker] = explained.blockers
    assert (explained.status, blocker.code, explained.state) == (
        OperatorStatus.NEEDS_REVIEW,
        "quarantined",
        "suspended",
    )
    assert explained.summary == "fetch is quarantined: 3 executors died while they ran it, the last time 0 s ago"
    assert blocker.details["crashes"] == 3
    assert blocker.details["executor_id"] == heartbeat("p3")["executor_id"]
    assert causes(waiting) == {"fetch": "quarantined"}
    assert [group.code for group in whole.root_causes] == ["quarantined"]


async def test_a_step_that_somebody_else_suspended_is_not_called_quarantined(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.rows("UPDATE oban_jobs SET state = 'suspended', meta = meta || '{\"quarantined\": 3}'")

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert codes(explained) == ["suspended"]
    await hand.rows("UPDATE oban_jobs SET state = 'available'")


def repairs(incident: ExplainedIncident) -> list[tuple[str, str, str]]:
    return [(r.action, r.target_type, r.target_id) for r in incident.repairs]


async def test_an_open_incident_of_a_step_is_named_with_the_repairs_that_are_legal(hand: Hand) -> None:
    workflow_id = await running_on_p1(hand)
    await die(hand, "p1")
    await project(hand)
    job_id = await job_id_of(hand, workflow_id, "fetch")

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")
    waiting = await hand.powertools.explain.workflow_step(workflow_id, "notify")
    whole = await hand.powertools.explain.workflow(workflow_id)
    job = await hand.powertools.explain.job(job_id)

    [incident] = explained.incidents
    assert (incident.fingerprint, incident.incident_class) == (f"dead_executor:{FIRST}", "dead_executor")
    assert (incident.workflow_id, incident.step, incident.state) == (workflow_id, "fetch", "active")
    assert repairs(incident) == [("job_rescue", "job", str(job_id)), ("executor_rescue_all", "executor", FIRST)]
    assert waiting.incidents == whole.incidents == job.incidents == explained.incidents


async def test_an_incident_that_is_over_is_not_named(hand: Hand) -> None:
    workflow_id = await running_on_p1(hand)
    await die(hand, "p1")
    await project(hand)
    await rescue(hand)
    await project(hand)

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert explained.incidents == ()


async def test_a_quarantined_step_names_its_incident_and_the_way_out(hand: Hand) -> None:
    workflow_id = await quarantined(hand)
    await project(hand)
    job_id = str((await hand.job(workflow_id, "fetch")).id)

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    [incident] = [i for i in explained.incidents if i.incident_class == "poison_job"]
    assert repairs(incident) == [("job_retry", "job", job_id), ("job_discard", "job", job_id)]


async def test_a_step_of_a_late_executor_names_the_incident_without_a_repair(hand: Hand) -> None:
    workflow_id = await running_on_p1(hand)
    await silent(hand, "p1", 3600)
    await project(hand, executor_late_after=timedelta(milliseconds=100), executor_missing_after=timedelta(hours=2))

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert [(i.incident_class, i.repairs) for i in explained.incidents] == [("executor_late", ())]


async def test_repairs_of_a_job_are_told_as_the_preview_would_decide(hand: Hand) -> None:
    await beat(hand, "p1")
    job_id = await enqueue(hand)
    await take(hand, job_id, "p1")

    running = await hand.powertools.explain.job(job_id)
    await die(hand, "p1")
    orphaned = await hand.powertools.explain.job(job_id)

    assert [action.name for action in running.legal_actions] == ["job_cancel"]
    refusals: dict[str, Any] = {action.name: action.refusal for action in running.illegal_actions}
    assert refusals == {
        "job_rescue": "repair_requires_missing_executor",
        "job_retry": "illegal_repair",
        "job_discard": "repair_requires_missing_executor",
    }
    assert [action.name for action in orphaned.legal_actions] == ["job_rescue", "job_cancel", "job_discard"]


async def test_an_executor_without_heartbeats_is_looked_for_among_obans_producers(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.start(await job_id_of(hand, workflow_id, "fetch"))

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.RUNNING, [])


async def test_a_queue_whose_executor_beats_has_one_though_obans_own_table_is_empty(hand: Hand) -> None:
    await beat(hand, "p1")
    workflow_id = await hand.insert(sync())

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.RUNNABLE, [])
