"""Workers of ours: named, listed and run as Oban's, with args and results of annotated types."""

import datetime as dt
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import oban.decorators
import psycopg
import pytest
from oban import Cancel, Job, Snooze
from oban.worker import resolve_worker
from pydantic import BaseModel

from oban_powertools import AwaitSignal, Powertools, Reference, Worker, Workflow, current_step, job, worker
from oban_powertools.errors import (
    InvalidArgumentError,
    InvalidWorkflowError,
    StepNotCompletedError,
    StepNotFoundError,
    UnfitValueError,
    UnsupportedAnnotationError,
    WaitTimeoutError,
)
from oban_powertools.sync import open_sync_calls
from oban_powertools.workflows import place_of
from oban_powertools.workflows.compile import compile_workflow

WITHIN = dt.timedelta(seconds=20)
KEY = UUID("12345678-1234-5678-1234-567812345678")


def loosely(worker: Any) -> Any:
    """The worker without its types: what a program does that no checker has seen."""
    return worker


@dataclass
class Receipt:
    number: str
    total: Decimal
    step: str = "as a field"


class Parcel(BaseModel):
    id: UUID
    at: dt.datetime
    receipt: Receipt


@job(queue="default", max_attempts=1, priority=3, tags=["paid"], unique={"period": 60})
async def charge(order_id: int, total: Decimal, fail: bool = False) -> Receipt:
    """Charges."""
    assert isinstance(total, Decimal)
    return Receipt(f"R-{order_id}", loosely(3) if fail else total)


@job(queue="default", max_attempts=1)
def pack(key: UUID, receipt: Receipt) -> Parcel | Snooze:
    assert isinstance(receipt.total, Decimal)
    return Parcel(id=key, at=dt.datetime(2031, 1, 1, tzinfo=dt.UTC), receipt=receipt)


@job(queue="default", max_attempts=1)
async def ship(parcel: Parcel, total: Decimal, day: dt.date | None = None) -> str:
    assert isinstance(parcel, Parcel)
    return f"{parcel.at.year} {parcel.receipt.number} {total + 1} {day}"


@job(queue="default", max_attempts=1)
async def ask() -> Receipt | AwaitSignal:
    return AwaitSignal("paid", str(current_step().workflow_id))


@job(queue="default")
async def stop() -> int | Cancel:
    return Cancel("not today")


@job(queue="default", max_attempts=1)
async def plain(number, step=3):
    return {"number": number, "step": step}


@job(queue="default")
async def quiet(day: dt.date) -> None:
    assert isinstance(day, dt.date)


@worker(queue="default", max_attempts=1)
class Post(Worker[Receipt, dt.timedelta]):
    def backoff(self, job: Job) -> int:
        return 7

    async def process(self, job: Job, args: Receipt, /) -> dt.timedelta:
        return dt.timedelta(days=int(args.total))


@worker(queue="default")
class Untyped:
    async def process(self, job: Job) -> Receipt:
        return Receipt(job.args["number"], Decimal(1))


@oban.decorators.job(queue="default", max_attempts=1)
async def of_oban(receipt: dict[str, Any]) -> str:
    return receipt["total"]


def test_a_worker_has_the_name_the_options_and_the_signature_of_obans() -> None:
    theirs: Any = oban.decorators.job(queue="default", max_attempts=1, priority=3, tags=["paid"])(charge_alone)
    ours: Any = job(queue="default", max_attempts=1, priority=3, tags=["paid"])(charge_alone)
    fields = ("worker", "queue", "max_attempts", "priority", "tags", "args", "meta", "scheduled_at", "state")

    assert [getattr(ours.new(1), field) for field in fields] == [getattr(theirs.new(1), field) for field in fields]
    assert inspect.signature(ours.new) == inspect.signature(theirs.new)
    assert (ours.__name__, ours.__module__, ours.__doc__) == (theirs.__name__, theirs.__module__, theirs.__doc__)
    assert resolve_worker(f"{__name__}.charge_alone") is ours


def charge_alone(order_id: int, day: str = "today") -> None:
    """Never run."""


def test_options_of_extensions_are_kept() -> None:
    assert charge.new(1, Decimal(1)).extra["unique"] == {"period": 60}


def test_args_are_plain_json_when_new_returns() -> None:
    assert charge.new(1, total=Decimal("9.90")).args == {"order_id": 1, "total": "9.90", "fail": False}
    assert Post.new(Receipt("R", Decimal(2)), priority=1).args == {"number": "R", "total": "2", "step": "as a field"}
    assert Post.new(Receipt("R", Decimal(2)), priority=1).priority == 1


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: loosely(charge).new("1", 2), "args.order_id: expected a whole number, found text"),
    (lambda: loosely(pack).new(KEY, {"number": "R"}), "args.receipt: expected a Receipt, found dict"),
    (
        lambda: loosely(pack).new(KEY, Receipt("R", loosely(3))),
        "args.receipt.total: expected a decimal number as text, found int",
    ),
    (lambda: loosely(Post).new(Receipt(loosely(1), Decimal(1))), "args.number: expected text, found int"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_a_wrong_arg_is_refused_in_the_line_that_passes_it(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UnfitValueError) as error:
        make()

    assert message in str(error.value)


def test_a_step_as_an_arg_is_refused_in_the_line_that_passes_it() -> None:
    paid = Workflow("order").add("charge", charge.new(1, Decimal(1)))

    with pytest.raises(InvalidArgumentError, match=r"step\.result"):
        loosely(pack).new(KEY, paid)


def test_a_missing_arg_and_one_without_a_parameter_are_refused_as_python_does() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'total'"):
        loosely(charge).new(1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'totl'"):
        loosely(charge).new(1, Decimal(1), totl=2)


def bytes_arg(picture: bytes) -> None: ...
def path_result() -> Path:
    raise NotImplementedError


def of_a_class(connection: Powertools) -> None: ...
def in_a_list(connections: list[Powertools | None]) -> None: ...
def unnamed(*numbers: int) -> None: ...


if TYPE_CHECKING:
    from decimal import Context as Order


def not_there(order: "Order") -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (bytes_arg, "picture is annotated with bytes, which has no JSON form: pass base64 text"),
        (path_result, "its result is annotated with Path, which has no JSON form: pass str"),
        (of_a_class, "connection is annotated with Powertools, which has no JSON form: use a dataclass"),
        (in_a_list, "connections is annotated with Powertools, which has no JSON form: use a dataclass"),
        (unnamed, "a job's args have names"),
        (not_there, "Order, which has no JSON form: import it where the worker is imported"),
    ],
)
def test_an_annotation_without_json_is_refused_when_the_worker_is_defined(function: Any, message: str) -> None:
    with pytest.raises(UnsupportedAnnotationError) as error:
        job(queue="default")(function)

    assert message in str(error.value)


def test_a_part_of_a_result_has_the_name_of_its_field() -> None:
    paid = Workflow("order").add("charge", charge.new(1, Decimal(1)))
    field: Any = paid.result.step

    assert isinstance(field, Reference)
    assert place_of(field).path == ("step",)
    with pytest.raises(AttributeError, match="a Receipt has no field 'totl'; did you mean 'total'"):
        _ = loosely(paid.result).totl


async def test_args_are_read_and_results_written_by_their_annotations(dsn: str) -> None:
    workflow = Workflow("order")
    paid = workflow.add("charge", charge.new(7, Decimal("9.90")))
    packed = workflow.add("pack", pack.new(KEY, paid.result))
    shipped = workflow.add("ship", ship.new(packed.result, packed.result.receipt.total, day=dt.date(2031, 1, 2)))
    posted = workflow.add("post", Post.new(Receipt("R", paid.result.total)))
    counted = workflow.add("untyped", loosely(Untyped).new({"number": "U"}))
    theirs = workflow.add("oban's", loosely(of_oban).new(receipt=paid.result))
    untyped = workflow.add("plain", plain.new(paid.result))
    silent = workflow.add("quiet", quiet.new(dt.date(2031, 1, 1)))

    async with Powertools.open(dsn, queues={"default": 10}) as powertools:
        handle = await powertools.workflows.insert(workflow)
        receipt = Receipt("R-7", Decimal("9.90"))
        assert await handle.result(paid, WITHIN) == receipt
        assert (await handle.result(packed, WITHIN)).receipt == receipt
        assert await handle.result(shipped, WITHIN) == "2031 R-7 10.90 2031-01-02"
        assert await handle.result(posted, WITHIN) == dt.timedelta(days=9)
        assert await handle.result(counted, WITHIN) == Receipt("U", Decimal(1))
        assert await handle.result(theirs, WITHIN) == "9.90"
        assert (await handle.result(untyped, WITHIN))["number"]["total"] == "9.90"
        assert await handle.result(silent, WITHIN) is None
        assert await handle.result("charge", WITHIN) == {"number": "R-7", "total": "9.90", "step": "as a field"}


async def test_a_map_calls_the_function_that_makes_the_job_of_an_item(dsn: str) -> None:
    workflow = Workflow("many")
    receipts = [{"number": f"R-{n}", "total": str(n), "step": ""} for n in (1, 2)]
    listed = workflow.add("listed", many.new())
    named = workflow.map("named", lambda receipt: name.new(receipt, receipt.number), over=listed.result)
    alone = workflow.map("alone", whole.new, over=listed.result)
    by_args = workflow.map("by args", name, over=receipts, args={"receipt": Workflow.item, "number": "x"})

    async with Powertools.open(dsn, queues={"default": 10}) as powertools:
        handle = await powertools.workflows.insert(workflow)
        assert await handle.result(named, WITHIN) == [Decimal(1), Decimal(2)]
        assert await handle.result(alone, WITHIN) == [Receipt("R-1", Decimal(1)), Receipt("R-2", Decimal(2))]
        assert await handle.result(by_args, WITHIN) == [Decimal(1), Decimal(2)]


@job(queue="default")
async def many() -> list[Receipt]:
    return [Receipt("R-1", Decimal(1)), Receipt("R-2", Decimal(2))]


@job(queue="default")
def name(receipt: Receipt, number: str) -> Decimal:
    assert number in (receipt.number, "x")
    return receipt.total


@job(queue="default")
def whole(item: Receipt) -> Receipt:
    return item


def test_a_map_checks_the_names_of_its_args_and_what_makes_its_jobs() -> None:
    workflow = Workflow("many")

    with pytest.raises(UnfitValueError, match=r"args\.numbr: there is no such parameter"):
        workflow.map("a", name, over=[1], args={"receipt": Workflow.item, "number": "1", "numbr": 1})
    with pytest.raises(InvalidArgumentError, match="worker"):
        workflow.map("a", loosely(lambda item: item), over=[1])
    with pytest.raises(InvalidArgumentError, match="args"):
        loosely(workflow).map("a", whole.new, over=[], args={"item": 1})


async def test_a_result_or_args_that_do_not_fit_fail_the_attempt_and_show_no_value(dsn: str) -> None:
    workflow = Workflow("order")
    torn = workflow.add("torn", charge.new(7, Decimal(1), fail=True))
    secret = workflow.add("secret", plain.new("4111 1111"))
    behind = workflow.add("behind", loosely(ship).new(secret.result, Decimal(1)))

    async with Powertools.open(dsn, queues={"default": 10}) as powertools:
        handle = await powertools.workflows.insert(workflow)
        await handle.wait(WITHIN)
        errors = {step.name: step.error for step in await powertools.workflows.steps(handle.id)}
        for step in (torn, behind):
            with pytest.raises(StepNotCompletedError, match="is discarded, so it has no result"):
                await handle.result(step)

    assert "result.total: expected a decimal number as text, found int" in errors["torn"]["error"]
    assert "args.parcel.id: Field required" in errors["behind"]["error"]
    assert "4111" not in errors["behind"]["error"]


async def test_what_a_worker_returns_instead_of_a_result_is_left_alone(dsn: str) -> None:
    workflow = Workflow("endings")
    cancelled = workflow.add("stop", stop.new())
    asked = workflow.add("ask", ask.new())

    async with Powertools.open(dsn, queues={"default": 10}) as powertools:
        handle = await powertools.workflows.insert(workflow)
        with pytest.raises(StepNotCompletedError, match="is cancelled"):
            await handle.result(cancelled, WITHIN)
        with pytest.raises(WaitTimeoutError):
            await handle.result(asked, dt.timedelta(0))
        with pytest.raises(StepNotFoundError):
            await handle.result("asked")
        await powertools.workflows.signal("paid", str(handle.id), {"number": "S", "total": "1"})
        assert await handle.result(asked, WITHIN) == Receipt("S", Decimal(1))


async def test_enqueue_writes_args_and_joins_the_callers_transaction(dsn: str) -> None:
    async with Powertools.open(dsn), await psycopg.AsyncConnection.connect(dsn) as conn:
        await charge.enqueue(1, Decimal("9.90"), conn=conn)
        await Post.enqueue(Receipt("R", Decimal(1)), conn, priority=2)
        joined = await (await conn.execute("SELECT args ->> 'total' AS total FROM oban_jobs ORDER BY id")).fetchall()
        await conn.rollback()
        kept = await (await conn.execute("SELECT count(*) FROM oban_jobs")).fetchall()

    assert (joined, kept) == ([("9.90",), ("1",)], [(0,)])


def test_the_synchronous_handle_has_results_of_their_types_too(dsn: str) -> None:
    workflow = Workflow("order")
    paid = workflow.add("charge", charge.new(7, Decimal(1)))

    with open_sync_calls(dsn) as calls:
        handle = calls.workflows.insert(workflow)
        calls.workflows.complete_step(handle.id, "charge", payload={"number": "C", "total": "2"})

        assert handle.result(paid, WITHIN) == Receipt("C", Decimal(2))


def test_a_class_that_is_not_decorated_says_so() -> None:
    class Bare(Worker[Receipt, int]): ...

    with pytest.raises(TypeError, match="Bare is no worker yet"):
        Bare.new(Receipt("R", Decimal(1)))


async def test_process_can_be_called_by_a_test_with_the_args_alone() -> None:
    assert await Post().process(Job("x"), Receipt("R", Decimal(3))) == 3 * 86_400


def test_a_plain_function_stays_one_that_can_run_in_a_thread() -> None:
    process: Any = loosely(pack).process
    function = inspect.getclosurevars(process).nonlocals["func"]

    assert not inspect.iscoroutinefunction(function)


def test_faults_of_nested_references_are_still_found_at_insert() -> None:
    workflow, other = Workflow("order"), Workflow("other")
    foreign = other.add("charge", charge.new(1, Decimal(1)))
    workflow.add("pack", pack.new(KEY, Receipt("R", foreign.result.total)))

    with pytest.raises(InvalidWorkflowError, match="belongs to another workflow"):
        compile_workflow(workflow, 1000)
