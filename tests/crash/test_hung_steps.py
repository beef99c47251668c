"""A step that hangs and a blocked event loop are seen from outside, with the line that they are at."""

import asyncio
import threading
from typing import Any

from oban import Job

from oban_powertools import Incident, Workflow
from oban_powertools.states import WorkflowId
from tests.crash.cluster import Cluster
from tests.support.ledger import eventually

HANGING = f"{__name__}.Hanging"
BLOCKING = f"{__name__}.Blocking"
NEVER: Any = threading.Event()


class Hanging:
    """A worker whose task waits, three calls deep, for what never comes."""

    async def process(self, job: Job) -> None:
        secret = "hunter2"  # noqa: F841 - no value of a variable may be seen
        await asyncio.gather(asyncio.sleep(0), self._ask_the_bank())

    async def _ask_the_bank(self) -> None:
        await asyncio.Event().wait()


class Blocking:
    """A worker that keeps its event loop from running anything else."""

    async def process(self, job: Job) -> None:
        compute()


def compute() -> None:
    """What takes long without an await."""
    NEVER.wait(8)


async def run(cluster: Cluster, worker: str) -> WorkflowId:
    workflow = Workflow("order")
    workflow.add("charge", Job(worker, queue="default", max_attempts=1))
    [handle] = await cluster.insert(workflow)
    return handle.id


async def with_stacks(cluster: Cluster, name: str) -> Incident | None:
    """The incident of this class, once its evidence says what is going on."""
    incidents = await cluster.powertools.lifeline.project_incidents()
    return next((each for each in incidents if each.incident_class == name and each.evidence.get("stacks")), None)


async def see_hanging_soon(cluster: Cluster) -> None:
    async with cluster.powertools.connect() as conn:
        await conn.execute("UPDATE powertools.settings SET value = '1' WHERE name LIKE 'incident_hung_%after'")


def functions_of(entry: dict[str, Any]) -> list[str]:
    return [line.rpartition(" ")[2] for line in entry["stack"]]


async def test_a_hung_step_is_an_incident_with_the_line_that_it_is_at(cluster: Cluster) -> None:
    await see_hanging_soon(cluster)
    await cluster.node(sweep_every=0.1, gone_after=2.0)
    workflow_id = await run(cluster, HANGING)

    incident = await eventually(lambda: with_stacks(cluster, "hung_jobs"), within=30)
    explained = await cluster.powertools.explain.workflow_step(workflow_id, "charge")

    assert incident is not None
    assert incident.fingerprint == f"hung_jobs:{HANGING}"
    [entry] = incident.evidence["stacks"]
    assert functions_of(entry)[-3:] == ["Hanging.process", "Hanging._ask_the_bank", "Event.wait"]
    assert entry["stack"][-3].startswith(f"{__file__}:")
    assert "hunter2" not in str(incident.to_dict())
    assert [each.fingerprint for each in explained.incidents] == [incident.fingerprint]
    assert [repair.action for repair in incident.repairs] == ["step_cancel", "step_complete"]


async def test_a_hung_step_is_over_when_its_process_has_ended(cluster: Cluster) -> None:
    await see_hanging_soon(cluster)
    node = await cluster.node(sweep_every=0.1, gone_after=2.0)
    await run(cluster, HANGING)
    incident = await eventually(lambda: with_stacks(cluster, "hung_jobs"), within=30)
    assert incident is not None

    await node.kill()
    await cluster.node(sweep_every=0.1, gone_after=2.0, queues={"other": 1})

    assert await eventually(lambda: is_over(cluster, incident), within=30)


async def test_a_hung_step_ends_when_it_is_cancelled_although_it_never_looks(cluster: Cluster) -> None:
    await see_hanging_soon(cluster)
    await cluster.node(sweep_every=0.1, gone_after=2.0)
    workflow_id = await run(cluster, HANGING)
    incident = await eventually(lambda: with_stacks(cluster, "hung_jobs"), within=30)
    assert incident is not None
    [repair, *_] = incident.repairs

    lifeline = cluster.powertools.lifeline
    shown = await lifeline.preview_repair("ada", action=repair.action, target_type="step", target_id=repair.target_id)
    await lifeline.execute_repair("ada", shown.preview_token or "", "the bank never answers")
    await cluster.until_states(within=20, charge="cancelled")
    [step] = await cluster.powertools.workflows.steps(workflow_id)

    assert repair.action == "step_cancel"
    assert step.cause == "cancelled_by_operator"
    assert "seemed to hang" in step.error["error"]
    assert await eventually(lambda: is_over(cluster, incident), within=30)


async def is_over(cluster: Cluster, incident: Incident) -> bool:
    await cluster.powertools.lifeline.project_incidents()
    return (await cluster.powertools.lifeline.get_incident(incident.id)).state == "resolved"


async def test_a_blocked_event_loop_is_an_incident_with_the_line_that_blocks_it(cluster: Cluster) -> None:
    await cluster.node(sweep_every=0.1, gone_after=2.0, late_after=1.0)
    workflow_id = await run(cluster, BLOCKING)

    incident = await eventually(lambda: with_stacks(cluster, "executor_late"), within=20)
    [step] = await cluster.powertools.workflows.steps(workflow_id)

    assert incident is not None
    [entry] = incident.evidence["stacks"]
    assert entry["job_id"] == step.job_id
    assert functions_of(entry)[-4:-1] == ["Blocking.process", "compute", "Event.wait"]
    assert entry["stack"][-3].startswith(f"{__file__}:")
