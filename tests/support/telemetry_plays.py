"""A little of everything that telemetry tells of, on real workers."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from oban import Job

from oban_powertools import Powertools, PowertoolsError, Workflow, WorkflowRecord
from tests.support.ledger import eventually

WITHIN = timedelta(seconds=20)


class Succeed:
    async def process(self, job: Job) -> str:
        return "done"


class Fail:
    async def process(self, job: Job) -> None:
        raise RuntimeError("secret of customer 4711")


def succeed() -> Job:
    """A step that completes."""
    return Job("tests.support.telemetry_plays.Succeed", max_attempts=1)


def fail() -> Job:
    """A step that fails for good."""
    return Job("tests.support.telemetry_plays.Fail", max_attempts=1)


def chain(length: int = 3) -> Workflow:
    workflow = Workflow("chain")
    steps = [workflow.add(f"step_{n}", succeed()) for n in range(length)]
    for parent, child in itertools.pairwise(steps):
        workflow.connect(parent, child)
    return workflow


async def run(powertools: Powertools, workflow: Workflow) -> WorkflowRecord:
    return await (await powertools.workflows.insert(workflow)).wait(WITHIN)


async def everything(powertools: Powertools) -> None:
    """Workflows that complete, fail and are cancelled, signals, commands carried out, refused and made up."""
    await powertools.metrics.count()
    await run(powertools, chain())
    failing = Workflow("failing")
    failing.add("last", succeed(), deps=[failing.add("first", fail())])
    failed = await run(powertools, failing)
    waiting = Workflow("waiting")
    waiting.await_signal("wait", signal="paid", correlation_key="order-1")
    waits = await powertools.workflows.insert(waiting)
    await powertools.workflows.signal("paid", "order-1", {"amount": 1})
    await waits.wait(WITHIN)
    held = Workflow("held")
    held.await_signal("wait", signal="never", correlation_key="order-2")
    cancelled = await powertools.workflows.insert(held)
    await powertools.workflows.request_cancel(cancelled.id, actor="ann", reason="not wanted")
    await cancelled.wait(WITHIN)
    for action in ("skip everything", "retry"):
        with pytest.raises(PowertoolsError):
            await powertools.workflows.recover(failed.id, "no such step", action, actor="ann", reason="to see it told")
    await counted(powertools, 4)


async def counted(powertools: Powertools, ends: int) -> None:
    """Until so many ends of workflows were counted: events get their place in the log with the sweep."""

    async def reached() -> bool:
        counts = await powertools.metrics.count()
        await asyncio.sleep(0)
        return counts.outcomes.total() >= ends and not counts.uncounted

    await eventually(reached)
