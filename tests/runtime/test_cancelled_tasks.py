"""Who cancels a step asks its worker to stop; the task of an attempt that is told as hung is cancelled too, once."""

import asyncio
from typing import Any

from oban import Job

from oban_powertools import Powertools, Workflow
from oban_powertools.states import StepState
from oban_powertools.workflows import WorkflowHandle
from tests.support.ledger import eventually

SEEN: list[int | None] = []
CANCELLED: list[str] = []


class Waits:
    """Looks once that it is to stop, and waits on for what never comes; ``stubborn`` goes on when it is cancelled."""

    async def process(self, job: Job) -> Any:
        async def asked() -> bool:
            return job.cancelled()

        await eventually(asked, within=30)
        SEEN.append(job.id)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            CANCELLED.append(job.args["how"])
            if job.args["how"] != "stubborn":
                raise
        for _ in range(50):  # time in which it might be cancelled again
            await asyncio.sleep(0.01)
        return "done after all"


async def asked_to_stop(powertools: Powertools, how: str) -> tuple[WorkflowHandle, int]:
    """A step that runs and knows that it is to stop; and its job."""
    SEEN.clear()
    CANCELLED.clear()
    workflow = Workflow("waits")
    workflow.add("s0", Job(f"{__name__}.Waits", args={"how": how}, max_attempts=5))
    handle = await powertools.workflows.insert(workflow)

    async def executing() -> int | None:
        [step] = await powertools.workflows.steps(handle.id)
        return step.job_id if step.state is StepState.EXECUTING else None

    job_id = await eventually(executing)
    assert job_id is not None
    await powertools.workflows.recover(handle.id, "s0", "cancel", actor="ada", reason="because of a test")

    async def seen() -> bool:
        return [job_id] == SEEN

    await eventually(seen, within=20)
    return handle, job_id


async def end_as_hung(powertools: Powertools, handle: WorkflowHandle, job_id: int) -> None:
    """Have it told as hung, as a heartbeat does, until its workflow has ended."""

    async def ended() -> bool:
        powertools._attachment.know_hung([job_id])
        return (await powertools.workflows.get(handle.id)).state.terminal

    await eventually(ended, within=20)


async def test_a_task_is_cancelled_only_when_its_attempt_is_told_as_hung(powertools: Powertools) -> None:
    handle, job_id = await asked_to_stop(powertools, "obedient")
    before = list(CANCELLED)
    await end_as_hung(powertools, handle, job_id)
    [step] = await powertools.workflows.steps(handle.id)

    assert (before, CANCELLED) == ([], ["obedient"])
    assert (step.state, step.cause) == (StepState.CANCELLED, "cancelled_by_operator")
    assert step.attempt == 1


async def test_a_worker_that_goes_on_is_not_cancelled_again(powertools: Powertools) -> None:
    handle, job_id = await asked_to_stop(powertools, "stubborn")
    await end_as_hung(powertools, handle, job_id)
    [step] = await powertools.workflows.steps(handle.id)

    assert CANCELLED == ["stubborn"]
    assert (step.state, step.result) == (StepState.COMPLETED, "done after all")
