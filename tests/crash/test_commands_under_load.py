"""What operators and applications do to steps while workers run them: nothing deadlocks, everything ends."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta

import pytest
from oban import Oban

from oban_powertools import Workflow
from oban_powertools.errors import AlreadyTerminalError, StepNotReleasedError
from oban_powertools.states import WorkflowId
from tests.crash.cluster import Cluster
from tests.crash.graphs import chain, random_graph
from tests.crash.steps import step


async def disturb(cluster: Cluster, oban: Oban, chance: random.Random, ended: asyncio.Event) -> int:
    """Complete, cancel, retry and delete the jobs of random steps until told to stop; how often."""
    times = 0
    async with cluster.session() as person:
        while not ended.is_set():
            cursor = await person.execute(
                "SELECT workflow_id, name, job_id FROM powertools.steps WHERE job_id IS NOT NULL"
                " ORDER BY state <> 'available', random() LIMIT 1"
            )
            if (found := await cursor.fetchone()) is None:
                continue
            workflow_id, name, job_id = found
            match chance.choice(["complete", "cancel", "retry", "delete"]):
                case "complete":
                    with suppress(AlreadyTerminalError, StepNotReleasedError):
                        await cluster.powertools.workflows.complete_step(WorkflowId(workflow_id), name, payload=0)
                case "cancel":
                    await oban.cancel_job(job_id)
                case "retry":
                    await oban.retry_job(job_id)
                case "delete":
                    await person.execute("DELETE FROM oban_jobs WHERE id = %s", [job_id])
            times += 1
    return times


@pytest.mark.crash
@pytest.mark.timeout(120)
@pytest.mark.parametrize("turbo", [[True, True], [True, False]], ids=["turbo", "mixed"])
async def test_commands_on_random_steps_deadlock_with_nothing(
    cluster: Cluster, chance: random.Random, turbo: list[bool]
) -> None:
    for each in turbo:
        await cluster.node(turbo=each, sweep_every=0.02)
    ended = asyncio.Event()
    async with cluster.oban() as oban:
        disturbing = [asyncio.create_task(disturb(cluster, oban, chance, ended)) for _ in range(3)]
        handles = await cluster.insert(
            *(chain(20).workflow for _ in range(60)), *(random_graph(chance, 30).workflow for _ in range(30))
        )
        await cluster.end(handles, within=45)
        ended.set()
        disturbed = await asyncio.gather(*disturbing)

    assert sum(disturbed) > 100
    # Oban's own ack locks job by job in one transaction, and may so deadlock with a command; it is asked again.
    stock = False in turbo
    assert await cluster.is_sound(faults=None if stock else 0, deadlocks=None if stock else 0)


async def test_inserts_of_one_key_from_many_sessions_at_once_store_one_workflow(cluster: Cluster) -> None:
    def keyed() -> Workflow:
        workflow = Workflow("once", idempotency_key="once", expires_in=timedelta(hours=1))
        workflow.add("only", step())
        return workflow

    await cluster.node()
    inserted = await asyncio.gather(*(cluster.insert(keyed(), keyed()) for _ in range(20)))
    handles = [handle for pair in inserted for handle in pair]
    await cluster.end(handles[:1])

    assert len({handle.id for handle in handles}) == 1
    assert sum(handle.inserted for handle in handles) == 1
    assert list((await cluster.ledger.runs()).values()) == [1]
    assert await cluster.is_sound()
