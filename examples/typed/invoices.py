"""Invoices with Pydantic models, a map over what is known only at run time, a class as a worker, and a wait.

powertools install && python -m examples.typed.invoices
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, TypedDict, assert_type
from uuid import UUID, uuid4

from oban import Job
from pydantic import BaseModel, Field

from oban_powertools import AwaitSignal, Powertools, StepHandle, Worker, Workflow, current_step, job, worker


class Currency(StrEnum):
    """What is paid in."""

    EUR = "eur"
    CHF = "chf"


class Customer(TypedDict):
    """A row of the customers."""

    id: UUID
    name: str
    currency: Currency


class Invoice(BaseModel):
    """What a customer pays."""

    customer: UUID
    amount: Decimal = Field(gt=0)
    due_at: datetime


class Approval(TypedDict):
    """The payload of the signal ``approved``."""

    by: str


@dataclass
class Letter:
    """The args of ``Post``: no model, because a model would check the references that stand in it for now."""

    invoices: list[Invoice | None]
    approved_by: str
    speed: Literal["fast", "slow"] = "slow"


@job(queue="default")
async def list_customers() -> list[Customer]:
    """Known only when it runs."""
    return [{"id": uuid4(), "name": name, "currency": Currency.EUR} for name in ("Ada", "Bob")]


@job(queue="default", max_attempts=1)
async def bill(customer: UUID, currency: Currency, amount: Decimal) -> Invoice:
    """Bill one customer."""
    assert currency is Currency.EUR
    return Invoice(customer=customer, amount=amount, due_at=datetime.now(UTC) + timedelta(days=30))


@job(queue="default")
async def approve(invoices: list[Invoice | None]) -> Approval | AwaitSignal:
    """Approve few at once; for many a person is asked, and the payload of the signal is the result."""
    if len(invoices) < 10:
        return {"by": "nobody"}
    return AwaitSignal("approved", str(current_step().workflow_id))


@worker(queue="default", max_attempts=5)
class Post(Worker[Letter, int]):
    """A class has ``backoff`` and ``timeout``, too."""

    async def process(self, job: Job, args: Letter, /) -> int:
        """Send the letter."""
        return len([invoice for invoice in args.invoices if invoice is not None and invoice.amount > 0])

    def backoff(self, job: Job) -> int:
        """Seconds until the next attempt."""
        return 2 * job.attempt


@job(queue="default")
async def report(sent: int, approved_by: str, error: dict[str, Any] | None = None) -> str:
    """One line."""
    return f"{sent} sent, approved by {approved_by}" if error is None else "failed"


def monthly() -> tuple[Workflow, StepHandle[str]]:
    """The workflow, and the step with the report."""
    workflow = Workflow("invoices")
    customers = workflow.add("customers", list_customers.new())
    bills = workflow.map(
        "bills",
        lambda customer: bill.new(customer["id"], customer["currency"], amount=Decimal("9.90")),
        over=customers.result,
        max_failures=1,
    )
    approved = workflow.add("approve", approve.new(bills.result))
    letter = Letter(bills.result, approved_by=approved.result["by"])
    posted = workflow.add("post", Post.new(letter, priority=1))
    reported = workflow.add("report", report.new(posted.result, approved.result["by"], error=posted.error))
    assert_type(bills, StepHandle[list[Invoice | None]])
    assert_type(approved, StepHandle[Approval])
    assert_type(posted, StepHandle[int])
    return workflow, reported


async def main() -> None:
    """Run one month."""
    workflow, reported = monthly()
    async with Powertools.open(queues={"default": 10}) as powertools:
        handle = await powertools.workflows.insert(workflow)
        print(await handle.result(reported, timeout=timedelta(seconds=30)))


if __name__ == "__main__":
    asyncio.run(main())
