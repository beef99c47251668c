"""Lines that a type checker must refuse: a test fails when one of them passes, or another one does not."""

from dataclasses import dataclass
from decimal import Decimal

from oban import Job

from oban_powertools import StepHandle, Worker, Workflow, job, worker


@dataclass
class Receipt:
    number: str
    total: Decimal


@dataclass
class Letter:
    to: str


@job(queue="default", max_attempts=3)
async def charge(order_id: int, total: Decimal = Decimal(0)) -> Receipt:
    return Receipt(f"R-{order_id}", total)


@job(queue="default")
def pack(order_id: int) -> str:
    return f"box {order_id}"


@job(queue="default")
async def ship(box: str, receipt: str) -> None: ...


@job(queue="default")
async def numbers() -> list[int]:
    return [1]


@worker(queue="default")
class Post(Worker[Letter, int]):
    async def process(self, job: Job, args: Letter, /) -> int:
        return len(args.to)


workflow = Workflow("wrong")
paid = workflow.add("charge", charge.new(order_id=1))
packed = workflow.add("pack", pack.new(1))
listed = workflow.add("numbers", numbers.new())

charge.new(order_id="1")  # expect: error
charge.new(orderid=1)  # expect: error
charge.new()  # expect: error
charge.new(1, Decimal(1), 2)  # expect: error
charge.new(1, total=0.5)  # expect: error
pack.new(order_id=None)  # expect: error

ship.new(box=packed.result, receipt=paid.result)  # expect: error
ship.new(box=packed.result, receipt=paid.result.total)  # expect: error
ship.new(box=packed.result, receipt=paid.result.nmber)  # expect: error
ship.new(box=packed, receipt=paid.result.number)  # expect: error
ship.new(box=listed.result[0], receipt="R")  # expect: error

Post.new({"to": "Ada"})  # expect: error
Post.new(Letter(1))  # expect: error
workflow.add("post", charge)  # expect: error
workflow.add("post", Post)  # expect: error

workflow.map("packed", pack.new, over=["1"])  # expect: error
workflow.map("shipped", ship.new, over=listed.result)  # expect: error
workflow.map("posted", lambda number: Post.new(Letter(number)), over=listed.result)  # expect: error


@job(queu="default", queue=3)  # expect: error
def misspelt() -> None: ...


@worker(queue="default")
class Torn(Worker[Letter, int]):
    async def process(self, job: Job, args: Letter, /) -> str:  # expect: error
        return args.to


def later(step: StepHandle[Receipt]) -> None:
    ship.new(box="a", receipt=step.result)  # expect: error


async def enqueue() -> None:
    await pack.enqueue("1")  # expect: error
    await pack.enqueue(order=1)  # expect: error
