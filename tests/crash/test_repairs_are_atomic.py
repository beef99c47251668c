"""An execution that is cut off in the middle has done nothing; many at once do it once.

Rules: security/S6, property/P31, P32.
"""

import asyncio
import json
from typing import Any, Final

import pytest

from oban_powertools import Workflow
from oban_powertools.lifeline.repairs import RepairPreview
from tests.crash.barriers import Barrier, Gate
from tests.crash.cluster import Cluster
from tests.crash.steps import step
from tests.support.repairing import OPERATOR

REPAIRER: Final = "tests.crash.repairer"
OPEN: Final = "1"
"""A gate that nobody closes."""

COUNTS: Final = """
SELECT jsonb_build_array(
  (SELECT jsonb_agg(to_jsonb(w) ORDER BY id) FROM powertools.workflows w),
  (SELECT jsonb_agg(to_jsonb(s) ORDER BY position) FROM powertools.steps s),
  (SELECT jsonb_agg(to_jsonb(j) ORDER BY id) FROM public.oban_jobs j),
  (SELECT jsonb_agg(to_jsonb(p)) FROM powertools.previews p),
  (SELECT count(*) FROM powertools.events), (SELECT count(*) FROM powertools.commands),
  (SELECT count(*) FROM powertools.audit WHERE outcome = 'executed')
)
"""


async def previewed(cluster: Cluster) -> RepairPreview:
    """The cancellation of a workflow whose jobs nobody runs."""
    workflow = Workflow("idle")
    first = workflow.add("a", step(queue="idle"))
    workflow.add("b", step(inputs=[first.result], queue="idle"))
    [handle] = await cluster.insert(workflow)
    return await cluster.powertools.lifeline.preview_repair(
        OPERATOR, action="workflow_cancel", target_type="workflow", target_id=handle.id
    )


async def state(cluster: Cluster) -> Any:
    """All that an execution changes."""
    return await cluster.ask(COUNTS)


@pytest.mark.parametrize("how", ["kill", "terminate"])
@pytest.mark.parametrize("point", ["audited", "commanded"])
async def test_an_execution_that_ends_between_its_change_and_its_records_has_done_nothing_and_its_token_counts(
    cluster: Cluster, point: str, how: str
) -> None:
    token = str((await previewed(cluster)).preview_token)
    before = await state(cluster)

    async with Barrier.at(cluster.dsn, point) as barrier:
        program = await cluster.program(REPAIRER, cluster.dsn, token, "1", OPEN)
        [backend] = await barrier.waiting()
        if how == "kill":
            await program.kill()
        else:
            await cluster.ask("SELECT pg_terminate_backend(%s)", backend.pid)
        await barrier.open()
        await program.ended()
        await cluster.until_nothing_runs()

    assert await state(cluster) == before
    exit_code, said = await cluster.run(REPAIRER, cluster.dsn, token, "1", OPEN)
    assert (exit_code, json.loads(said)) == (0, ["done"])
    assert await cluster.ask("SELECT state FROM powertools.workflows") == ["cancelled"]
    assert await cluster.ask("SELECT status FROM powertools.previews") == ["consumed"]
    assert await cluster.ask("SELECT outcome FROM powertools.audit WHERE outcome <> 'failed'") == ["executed"]
    assert await cluster.ask("SELECT count(*) FROM powertools.commands WHERE outcome = 'accepted'") == [1]
    assert await cluster.is_sound()


async def test_of_50_executions_of_one_token_in_5_processes_one_changes_something(cluster: Cluster, gate: Gate) -> None:
    token = str((await previewed(cluster)).preview_token)

    command = (REPAIRER, cluster.dsn, token, "10", str(gate.number))
    runs = [asyncio.create_task(cluster.run(*command)) for _ in range(5)]
    await gate.waiting(times=5, within=30)
    await gate.open()
    ended = await asyncio.gather(*runs)

    outcomes = sorted(outcome for _, said in ended for outcome in json.loads(said))
    assert outcomes == ["done"] + ["preview_consumed"] * 49
    assert await cluster.ask("SELECT outcome FROM powertools.audit ORDER BY outcome") == ["executed"] + ["refused"] * 49
    assert await cluster.ask("SELECT count(*) FROM powertools.commands WHERE outcome = 'accepted'") == [1]
    assert await cluster.ask("SELECT state FROM powertools.workflows") == ["cancelled"]
    assert await cluster.is_sound()
