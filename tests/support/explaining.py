"""What the tests of explanations share: a workflow to explain, executors, and short views of the answers."""

import json
from typing import Any

from oban_powertools import JobExplanation, StepExplanation, Workflow, WorkflowExplanation
from oban_powertools.states import JobId, WorkflowId
from tests.support.by_hand import Hand, step

FAILURE = RuntimeError("HTTP 503 from billing")
NODE = "00000000-0000-0000-0000-000000000000"  # where Hand starts its jobs


async def register(hand: Hand, queue: str = "default", *, uuid: str = NODE, age: int = 0, **meta: Any) -> None:
    """An executor as Oban's producers register themselves; ``age`` is the seconds since its last refresh."""
    await hand.rows(
        "INSERT INTO oban_producers (uuid, node, queue, meta, updated_at) "
        "VALUES (%s, 'node', %s, %s, timezone('UTC', now()) - make_interval(secs => %s))",
        uuid,
        queue,
        json.dumps({"local_limit": 10, "paused": False, **meta}),
        age,
    )


def sync() -> Workflow:
    """fetch -> sync_billing (5 attempts) -> notify."""
    workflow = Workflow("sync_customer")
    workflow.add("fetch", step())
    workflow.add("sync_billing", step(max_attempts=5), deps=["fetch"])
    workflow.add("notify", step(), deps=["sync_billing"])
    return workflow


def codes(explanation: StepExplanation | JobExplanation | WorkflowExplanation) -> list[str]:
    return [blocker.code for blocker in explanation.blockers]


def causes(explanation: StepExplanation) -> dict[str, str]:
    return {cause.step: cause.code for cause in explanation.root_causes}


async def job_id_of(hand: Hand, workflow_id: WorkflowId, name: str) -> JobId:
    job = await hand.job(workflow_id, name)
    assert job.id is not None
    return JobId(job.id)


async def enqueue(hand: Hand, **options: Any) -> JobId:
    """A plain job."""
    job = await hand.oban.enqueue(step(**options))
    assert job.id is not None
    return JobId(job.id)
