"""As ``args``: what a workflow's results are, and are not."""

from dataclasses import dataclass

from oban import Snooze

from oban_powertools import AwaitSignal, Reference, StepHandle, Workflow, job
from oban_powertools.sync import SyncWorkflowHandle
from oban_powertools.workflows import WorkflowHandle


@dataclass
class Receipt:
    number: str


@job(queue="default")
async def charge(order_id: int) -> Receipt | Snooze:
    return Receipt(f"R-{order_id}")


@job(queue="default")
async def ask(question: str) -> int | AwaitSignal:
    return len(question)


@job(queue="default")
def name(number: int) -> str:
    return str(number)


workflow = Workflow("wrong")
paid = workflow.add("charge", charge.new(1))
asked = workflow.add("ask", ask.new("why"))
numbers: list[int] = [1, 2]
all_named = workflow.map("all", name.new, over=numbers)
most_named = workflow.map("most", name.new, over=numbers, max_failures=1)


async def wait(handle: WorkflowHandle, blocking: SyncWorkflowHandle) -> None:
    number: int = await handle.result(paid)  # expect: error
    text: str = await handle.result(asked)  # expect: error
    names: list[str] = await handle.result(all_named)
    most: list[str] = await handle.result(most_named)  # expect: error
    receipt: Receipt = blocking.result(paid)
    other: int = blocking.result(paid)  # expect: error
    (await handle.result(paid)).nmber  # expect: error
    print(number, text, names, most, receipt, other)


def signatures() -> None:
    handle: StepHandle[int] = paid  # expect: error
    reference: Reference[Receipt] = paid.reference
    wrong: Reference[int] = paid.reference  # expect: error
    plain: Reference[Receipt] = paid.result  # expect: error
    paid.reference + 1  # expect: error
    print(handle, reference, wrong, plain)


@job(queue="default")
async def torn(order_id: int) -> Receipt:
    return order_id  # expect: error
