"""Workers of a user's."""

from typing import Any

from oban import Cancel, Job, Oban, Snooze
from oban.decorators import job, worker

from oban_powertools import AwaitSignal, Workflow, current_powertools, current_step, current_workflow
from oban_powertools.errors import NotInWorkerError
from oban_powertools.sync import current_sync_calls

CALLED: list[str] = []


@job(queue="default", max_attempts=5)
async def flaky() -> int:
    if current_step().attempt < 4:
        raise OSError("not yet")
    return 1


@job(queue="other")
async def echo(x: Any) -> Any:
    return x


@job(queue="default")
def double(n: int) -> int:
    return 2 * n


@job(queue="default", max_attempts=2)
async def fail(text: str) -> None:
    raise ValueError(text)


@job(queue="default")
async def charge(amount: int) -> dict[str, int]:
    CALLED.append(f"charge {amount}")
    return {"charged": amount}


@job(queue="default")
async def ask() -> AwaitSignal | None:
    return AwaitSignal("asked", "1")


@job(queue="default")
async def sleepy() -> Any:
    job = current_step().job
    return "awake" if job.meta.get("snoozed", 0) == 3 else Snooze(86400)


@job(queue="default")
async def snooze_for_ever() -> Snooze:
    return Snooze(60)


@job(queue="default", max_attempts=3)
async def tell() -> None:
    ended = current_workflow()
    CALLED.append(f"told {ended.outcome}")


@worker(queue="default")
class Stoppable:
    async def process(self, job: Job) -> Any:
        return Cancel("asked to stop") if job.cancelled() else job.args["n"]

    def backoff(self, job: Job) -> int:
        return 7 * 86400


@job(queue="default")
async def enqueue_another() -> int:
    inserted = await Oban.get_instance().enqueue(charge.new(amount=7))
    return inserted.id is not None


@job(queue="default")
async def append() -> None:
    current_step().append("more", double.new(n=4))


@job(queue="default")
async def inserts_another() -> int:
    return (await current_powertools().workflows.insert(_of_one("another"))).id


@job(queue="default")
def inserts_another_plainly() -> int:
    with current_sync_calls() as calls:
        return calls.workflows.insert(_of_one("another")).id


@job(queue="default")
async def asks_for_the_other_calls() -> str:
    try:
        current_sync_calls()
    except NotInWorkerError as error:
        return str(error)
    return "given"


def _of_one(name: str) -> Workflow:
    workflow = Workflow(name)
    workflow.add("echo", echo.new(x=name))
    return workflow
