"""A step and its job find each other by index, through functions that stand once and cost nothing: they are inlined."""

import pytest

from tests.support.by_hand import Hand, chain

STEP_OF_A_JOB = "oban_jobs j JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta) WHERE j.id = 1"
JOB_OF_A_STEP = (
    "powertools.steps s LEFT JOIN oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)"
    " WHERE s.workflow_id = 1 AND s.position = 0"
)
STEP_AT = "unnest(ARRAY[1, 2]) AS p (position) CROSS JOIN LATERAL powertools.step_at_v1(1, p.position) AS s"


@pytest.mark.parametrize(
    ("tables", "indexes"),
    [
        (STEP_OF_A_JOB, {"oban_jobs_pkey", "steps_pkey"}),
        (JOB_OF_A_STEP, {"oban_jobs_pkey", "steps_pkey"}),
        (STEP_AT, {"steps_pkey"}),
    ],
    ids=["step of a job", "job of a step", "step at a place"],
)
async def test_a_step_and_its_job_find_each_other_by_index(hand: Hand, tables: str, indexes: set[str]) -> None:
    await hand.insert(chain(3))
    await hand.rows("SET enable_seqscan = off; SET enable_bitmapscan = off")
    try:
        rows = await hand.rows(f"EXPLAIN SELECT * FROM {tables}")
    finally:
        await hand.rows("RESET enable_seqscan; RESET enable_bitmapscan")
    plan = "\n".join(row["QUERY PLAN"] for row in rows)

    assert {name for name in ("oban_jobs_pkey", "steps_pkey") if f"using {name}" in plan} == indexes
    assert "_v1(" not in plan
