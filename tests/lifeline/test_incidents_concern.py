"""An incident counts only what can still be acted upon, and concerns exactly what it counts (incidents/N5)."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oban_powertools import Incident, Workflow
from oban_powertools.states import JobId, WorkflowId
from tests.support.by_hand import Hand, step
from tests.support.executing import beat, die, take
from tests.support.troubles import ADA, TROUBLES, fail, plain, project

SCRIPTED = "tests.support.by_hand.Scripted"
FAILING = f"failing_jobs:{SCRIPTED}:ValueError"
HUNG = f"hung_jobs:{SCRIPTED}"

CONCERNED = """
WITH subjects AS (
  SELECT s.workflow_id, s.position, NULL::bigint AS job_id FROM powertools.steps s
  UNION ALL
  SELECT NULL, NULL, j.id FROM oban_jobs j WHERE NOT EXISTS (
    SELECT FROM powertools.steps s WHERE powertools.is_its_job_v1(s, j.id, j.meta)
  )
), listed AS (
  SELECT array_agg(s.workflow_id) AS workflows, array_agg(s.position) AS positions, array_agg(s.job_id) AS jobs
  FROM subjects s
)
SELECT DISTINCT i.fingerprint, c.job_id
FROM listed l
CROSS JOIN LATERAL powertools.incidents_concerning_v1(l.workflows, l.positions, l.jobs) AS c
JOIN powertools.incidents i ON i.id = c.incident_id
WHERE c.job_id IS NOT NULL
"""

COUNTED = """
SELECT i.fingerprint, j.id AS job_id
FROM powertools.incidents i
CROSS JOIN LATERAL jsonb_array_elements_text(i.evidence -> 'ids') AS e (id)
JOIN oban_jobs j ON j.id = CASE i.evidence ->> 'id_type'
    WHEN 'job' THEN e.id::bigint
    WHEN 'late_result' THEN (SELECT l.job_id FROM powertools.late_results l WHERE l.id = e.id::bigint)
  END
WHERE i.state <> 'resolved'
"""

QUEUED = """
SELECT i.fingerprint, j.id AS job_id
FROM powertools.incidents i JOIN oban_jobs j ON j.queue = i.subject_id AND j.state = 'available'
WHERE i.state <> 'resolved' AND i.subject_type = 'queue'
"""

BESIDE = """
UPDATE oban_jobs SET state = %s::oban_job_state, discarded_at = timezone('UTC', now()) - interval '2 h',
  errors = '[{"attempt": 1, "error": "ValueError: no"}]' WHERE id = %s
"""


ALONE = {"workflow_stuck", "executor_late", "executor_missing"}
"""Which another executor of the queue would end."""


async def failed_steps(hand: Hand, number: int) -> list[WorkflowId]:
    """Workflows of one step each, which failed."""
    ids: list[WorkflowId] = []
    for _ in range(number):
        workflow = Workflow("bill")
        workflow.add("s0", step())
        ids.append(await hand.insert(workflow))
        await hand.run(ids[-1], {"s0": ValueError("no")})
    return ids


async def beside(hand: Hand) -> None:
    """Jobs of the same worker and queue that nothing is wrong with, or something else."""
    for state in ("completed", "cancelled", "discarded"):
        await hand.rows(BESIDE, state, await plain(hand))
    await fail(hand, await plain(hand, max_attempts=9), error=KeyError("other"))
    await plain(hand, schedule_in=3600)
    await plain(hand)
    [workflow_id] = await failed_steps(hand, 1)
    await hand.workflows.recover(workflow_id, **ADA)


async def beside_executing(hand: Hand) -> None:
    """The same, also in the hands of a living executor and for long in those of a dead one."""
    await beside(hand)
    await beat(hand, "lives")
    await take(hand, await plain(hand, max_attempts=9), "lives")
    await take(hand, await plain(hand, max_attempts=9), "dies", ago=20000)
    await die(hand, "dies")


async def pairs(hand: Hand, query: str) -> set[tuple[str, int]]:
    return {(row["fingerprint"], row["job_id"]) for row in await hand.rows(query)}


@pytest.mark.parametrize(
    ("name", "others"), [(name, beside if name in ALONE else beside_executing) for name in TROUBLES]
)
async def test_an_incident_concerns_exactly_what_it_counts(
    hand: Hand, name: str, others: Callable[[Hand], Awaitable[None]]
) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    await others(hand)

    opened = await project(hand, **trouble.settings)

    assert trouble.fingerprint in opened
    assert await pairs(hand, CONCERNED) == await pairs(hand, COUNTED) | await pairs(hand, QUEUED)


async def test_a_retried_steps_earlier_jobs_count_no_more(hand: Hand) -> None:
    ids = await failed_steps(hand, 6)
    before = (await project(hand))[FAILING]
    for workflow_id in ids:
        await hand.workflows.recover(workflow_id, **ADA)
        await hand.run(workflow_id, {"s0": ValueError("no")})

    after = (await project(hand))[FAILING]

    assert (before.count, after.count) == (6, 6)
    assert {*before.evidence["ids"]} & {*after.evidence["ids"]} == set()


async def completed(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.recover(workflow_id, "s0", "complete", payload=1, **ADA)


async def skipped(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.recover(workflow_id, "s0", "skip", **ADA)


async def retried(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.recover(workflow_id, **ADA)


async def removed(hand: Hand, workflow_id: WorkflowId) -> None:
    for table, column in (("steps", "workflow_id"), ("events", "workflow_id"), ("workflows", "id")):
        await hand.rows(f"DELETE FROM powertools.{table} WHERE {column} = %s", workflow_id)


@pytest.mark.parametrize("end", [completed, skipped, retried, removed])
async def test_an_incident_names_only_what_an_act_is_legal_for(
    hand: Hand, end: Callable[[Hand, WorkflowId], Awaitable[None]]
) -> None:
    ids = await failed_steps(hand, 6)
    await project(hand)
    await end(hand, ids[0])

    incident = (await project(hand))[FAILING]
    whole = await hand.powertools.lifeline.get_incident(incident.id)

    assert incident.count == 5
    assert len({repair.target_id for repair in whole.repairs if repair.action == "step_retry"}) == 5


@pytest.mark.parametrize("name", TROUBLES)
async def test_an_act_that_an_incident_suggests_can_be_previewed(hand: Hand, name: str) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    incident = (await project(hand, **trouble.settings))[trouble.fingerprint]

    for repair in [repair for repair in incident.repairs if not repair.action.startswith("queue_")]:
        await _previewed(hand, incident, repair)


async def _previewed(hand: Hand, incident: Incident, repair: Any) -> None:
    preview = await hand.powertools.lifeline.preview_repair(
        "ada",
        action=repair.action,
        target_type=repair.target_type,
        target_id=repair.target_id,
        incident_fingerprint=incident.fingerprint,
        to=repair.to,
    )
    assert preview.action == repair.action


async def test_an_incident_whose_failures_were_all_retried_names_none_of_them_any_more(hand: Hand) -> None:
    ids = await failed_steps(hand, 5)
    await project(hand)
    for workflow_id in ids:
        await hand.workflows.recover(workflow_id, **ADA)

    incident = (await project(hand))[FAILING]

    assert (incident.count, incident.evidence["ids"]) == (0, [])


async def test_a_job_whose_executor_is_dead_does_not_hang(hand: Hand) -> None:
    await TROUBLES["hung_jobs"].happen(hand)
    await take(hand, dead := await plain(hand, max_attempts=9), "dies", ago=20000)
    await die(hand, "dies")
    await project(hand)

    explained = await hand.powertools.explain.job(JobId(dead))

    assert {each.incident_class for each in explained.incidents} == {"dead_executor"}
