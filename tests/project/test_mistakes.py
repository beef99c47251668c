"""The likeliest mistakes of a first hour, each with its siblings and what is read there, at the call.

A case is a mistake, what a user writes, and the sentence that comes. What is accepted by now, such as seconds and ids
as text, is in ``test_arguments``.
"""

import asyncio
import inspect
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import psycopg
import pytest
from oban import Job
from oban.decorators import job

from oban_powertools import (
    AwaitSignal,
    Powertools,
    Settings,
    StepContext,
    Workflow,
    WorkflowHandle,
    WorkflowId,
    open_calls,
    sync,
)
from oban_powertools.errors import AnotherLoopError, InvalidSettingError, PowertoolsError, StepNotFoundError
from oban_powertools.integrations.sse import StreamLimits
from tests.project.test_arguments import calls
from tests.support.by_hand import Hand, Scripted, chain, everybody_may, step
from tests.support.command import environment
from tests.support.command import powertools as command

# As an application without a type checker has them.
ANY: Any = None
SET: Any = Settings
LIMITED: Any = StreamLimits


@job(queue="default")
def charge(amount: Any = None) -> None: ...


CHARGE: Any = charge


@dataclass
class Order:
    total: int


class Model:
    """As pydantic's."""

    def model_dump(self, mode: str = "") -> dict[str, Any]: ...


def workflow_with(*names: str) -> Workflow:
    workflow = Workflow("orders")
    for name in names:
        workflow.add(name, step())
    return workflow


def passing(value: object) -> Callable[[Hand], Awaitable[Any]]:
    """Pass a value as an arg of a step."""

    async def insert(hand: Hand) -> None:
        workflow = workflow_with("charge")
        workflow.add("ship", CHARGE.new(amount={"of": [value]}))
        await hand.workflows.insert(workflow)

    return insert


def building(build: Callable[[Any], Any]) -> Callable[[Hand], Awaitable[Any]]:
    """Build on a workflow of one step, and insert it."""

    async def insert(hand: Hand) -> None:
        workflow = workflow_with("charge")
        build(workflow)
        await hand.workflows.insert(workflow)

    return insert


def using(use: Callable[[Any], Any]) -> Callable[[Hand], Awaitable[Any]]:
    """Compute with the result of a step."""

    async def compute(_: Hand) -> None:
        value = use(workflow_with("charge").add("bill", step()).result)
        if inspect.isawaitable(value):
            await value

    return compute


def asking(ask: Callable[[Hand], Awaitable[Any]]) -> Callable[[Hand], Awaitable[Any]]:
    """Ask about a running workflow of one step, charge, which has the id 1."""

    async def after_insert(hand: Hand) -> None:
        await hand.workflows.insert(workflow_with("charge"))
        await ask(hand)

    return after_insert


def awaiting(call: Callable[[Hand], Any]) -> Callable[[Hand], Awaitable[Any]]:
    async def wait_for_it(hand: Hand) -> None:
        await call(hand)

    return wait_for_it


async def add_enqueued(hand: Hand) -> None:
    workflow_with("charge").add("ship", await hand.oban.enqueue(step()))


async def finish_enqueued(hand: Hand) -> None:
    Workflow("orders", on_finished=await hand.oban.enqueue(step()))


async def add_many_enqueued(hand: Hand) -> None:
    workflow_with("charge").add_many({"ship": await hand.oban.enqueue(step())})


async def enqueue_without_await(hand: Hand) -> None:
    coroutine: Any = hand.oban.enqueue(step())
    try:
        await building(lambda w: w.add("a", coroutine))(hand)
    finally:
        coroutine.close()


async def pass_enqueued(hand: Hand) -> None:
    await passing(await hand.oban.enqueue(step()))(hand)


async def insert_with(hand: Hand, conn: Any) -> None:
    await hand.workflows.insert(chain(1), conn=conn)


async def insert_with_a_blocking_connection(hand: Hand) -> None:
    with psycopg.connect(hand.dsn) as conn:
        await insert_with(hand, conn)


async def insert_with_a_blocking_session(hand: Hand) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    engine = create_engine(hand.dsn.replace("postgresql:", "postgresql+psycopg:", 1))
    with Session(engine) as session:
        await insert_with(hand, session)
    engine.dispose()


async def wait_in_a_transaction(hand: Hand) -> None:
    async with await psycopg.AsyncConnection.connect(hand.dsn) as conn:
        handle = await hand.workflows.insert(chain(1), conn=conn)
        try:
            await handle.wait(5)
        finally:
            await conn.rollback()


def as_any(hand: Hand) -> Any:
    """Its workflows, for a wrong argument."""
    return hand.workflows


async def open_on(dsn: str) -> None:
    async with Powertools.open(dsn):
        pass


async def open_with(**options: Any) -> None:
    async with Powertools.open("postgresql:///nowhere", **options):
        pass


def opening(dsn: str) -> Callable[[Hand], Awaitable[Any]]:
    return lambda _: open_on(dsn)


def another_loop(call: Callable[[Any], Awaitable[Any]]) -> Callable[[Hand], Awaitable[Any]]:
    """Call from another thread with an event loop of its own."""

    async def elsewhere(hand: Hand) -> None:
        async with Powertools.open(hand.dsn) as powertools:
            await asyncio.to_thread(asyncio.run, _coroutine(call(powertools)))

    return elsewhere


async def _coroutine(work: Any) -> Any:
    return await work


async def subscribe(powertools: Any) -> None:
    async with powertools.events.subscribe_all():
        pass


async def connect(powertools: Any) -> None:
    async with powertools.connect():
        pass


ENQUEUED = r"job \d+, which is enqueued already and would run twice; expected .*new\(\.\.\.\)"
FILLED_IN = "a reference is filled in when the step has run: .* compute in the worker"
NO_VALUE = "a step is no value: pass its result, step.result"
PASSWORD = "with @ : / # % in a password percent-encoded, or key=value pairs"
ENTERED = "async with"
OTHER_LOOP = "was entered in another event loop"

MISTAKES: dict[str, tuple[Callable[[Hand], Any], str]] = {
    # An enqueued job
    "enqueued job as a step": (add_enqueued, ENQUEUED),
    "enqueued job in add_many": (add_many_enqueued, ENQUEUED),
    "enqueued job as on_finished": (finish_enqueued, ENQUEUED),
    "enqueued job as an arg": (pass_enqueued, "Job is not JSON-safe; add it as a step, and pass that step's result"),
    "the worker instead of its job": (
        building(lambda w: w.add("a", CHARGE)),
        r"call \.new\(\.\.\.\) on the worker",
    ),
    "a coroutine of enqueue": (enqueue_without_await, r"pass what new\(\.\.\.\) gives, not enqueue"),
    # Not entered
    "await open": (awaiting(lambda hand: Powertools.open(hand.dsn)), r"await Powertools\.start\(.*await .*close\(\)"),
    "await open_calls": (awaiting(lambda hand: open_calls(hand.conn)), r"async with open_calls\(\.\.\.\) as calls"),
    "await connect": (awaiting(lambda hand: hand.powertools.connect()), r"async with powertools\.connect\(\) as conn"),
    "await subscribe": (awaiting(lambda hand: hand.powertools.events.subscribe_all()), "async with .*subscribe"),
    # The caller's connection
    "a blocking psycopg connection": (insert_with_a_blocking_connection, "psycopg's Connection.*oban_powertools.sync"),
    "a blocking SQLAlchemy session": (insert_with_a_blocking_session, "sqlalchemy's Session.*oban_powertools.sync"),
    "no connection at all": (lambda hand: insert_with(hand, "postgresql://"), "found builtins's str"),
    # Args
    "a model": (passing(Model()), r'Model is not JSON-safe; pass value\.model_dump\(mode="json"\)'),
    "a dataclass": (passing(Order(1)), r"Order is not JSON-safe; pass dataclasses\.asdict\(value\)"),
    "a timedelta": (passing(timedelta(1)), r"pass value\.total_seconds\(\)"),
    "a path": (passing(Path("x")), r"pass str\(value\)"),
    "a generator": (passing(x for x in ()), r"pass list\(value\)"),
    "a handle of a step": (
        building(lambda w: w.add("b", CHARGE.new(amount=w.add("a", step())))),
        r"pass its result: a",
    ),
    "a workflow": (passing(chain(1)), r"add_workflow\(name, workflow\) makes it a step"),
    "a step in a signal": (
        lambda hand: hand.workflows.signal("s", "k", workflow_with().add("a", step())),
        r"pass its result: step\.result",
    ),
    # References
    "ref + 1": (using(lambda ref: ref + 1), FILLED_IN),
    "1 + ref": (using(lambda ref: 1 + ref), FILLED_IN),
    "ref == 1": (using(lambda ref: ref == 1), FILLED_IN),
    "ref != 1": (using(lambda ref: ref != 1), FILLED_IN),
    "ref // 2": (using(lambda ref: ref // 2), FILLED_IN),
    "round(ref)": (using(lambda ref: round(ref)), FILLED_IN),
    "range(ref)": (using(lambda ref: range(ref)), FILLED_IN),
    "await ref": (using(lambda ref: ref), FILLED_IN),
    "if ref": (using(lambda ref: "a" if ref else "b"), FILLED_IN),
    "ref.key": (using(lambda ref: ref.key), r"for a part of the value write reference\['key'\]"),
    "step + 1": (building(lambda w: ANY or w.add("a", step()).__add__(1)), NO_VALUE),
    "await step": (building(lambda w: w.add("a", step()).__await__()), NO_VALUE),
    "step.key": (building(lambda w: w.add("a", step()).key), r"write step\.result\['key'\]"),
    # Names
    "dep": (building(lambda w: w.add("ship", step(), deps="chargee")), "no step has that name; did you mean 'charge'"),
    "reference": (
        building(lambda w: w.add("b", step({"x": Workflow.result("Charge")}))),
        "refers to a step that does not exist; did you mean 'charge'",
    ),
    "connect": (building(lambda w: w.connect("charge", "chrage")), "has no step 'chrage'; did you mean 'charge'"),
    "policy": (building(lambda w: w.add("b", step(), on_failure="continu")), "did you mean 'continue'"),
    "effects": (building(lambda w: w.add("b", step(), effects="repeat")), "did you mean 'repeatable'"),
    "state": (lambda hand: hand.workflows.list(state="complete"), "did you mean 'completed'"),
    "state of jobs": (lambda hand: hand.powertools.jobs.list(state="runing"), "one of: .*executing"),
    "status": (lambda hand: hand.powertools.jobs.list(status="blocked"), "did you mean 'Blocked'"),
    "incident class": (
        lambda hand: hand.powertools.lifeline.list_incidents(incident_class="hung_job"),
        "one of: .*did you mean 'hung_jobs'",
    ),
    "step to recover": (
        asking(lambda hand: hand.workflows.recover(1, "chrage", actor="ada", reason="because of a test")),
        "has no step 'chrage'; did you mean 'charge'",
    ),
    "step to hold": (
        asking(lambda hand: hand.workflows.hold(1, "charges", hold_for=60, actor="ada", reason="because of a test")),
        "did you mean 'charge'",
    ),
    "step to complete": (asking(lambda hand: hand.workflows.complete_step(1, "charg")), "did you mean 'charge'"),
    "step to explain": (
        asking(lambda hand: hand.powertools.explain.workflow_step(1, "charg")),
        "did you mean 'charge'",
    ),
    "step of a history": (asking(lambda hand: hand.workflows.history(1, step="charg")), "did you mean 'charge'"),
    "step to publish": (
        asking(
            lambda hand: hand.powertools.events.publish(1, "charg", "retrying", actor="ada", reason="because of a test")
        ),
        "did you mean 'charge'",
    ),
    "status of a completion": (
        asking(lambda hand: hand.workflows.complete_step(1, "charge", status="complete")),
        "did you mean 'completed'",
    ),
    "recovery action": (
        asking(lambda hand: hand.workflows.recover(1, "charge", "skipp", actor="ada", reason="because of a test")),
        "did you mean 'skip'",
    ),
    "repair": (
        lambda hand: hand.powertools.lifeline.preview_repair(
            "ada", action="workflow_cancle", target_type="workflow", target_id=1
        ),
        "did you mean 'workflow_cancel'",
    ),
    "filter of a bulk repair": (
        lambda hand: hand.powertools.lifeline.preview_bulk("ada", "workflow_cancel", {"workflow": "x"}),
        "did you mean 'workflow_name'",
    ),
    "queue": (asking(lambda hand: hand.powertools.queues.get("defualt")), "defualt .*did you mean 'default'"),
    "shared setting": (
        lambda hand: hand.powertools.shared_settings.change(
            "event_kept_for", 60, actor="ada", reason="because of a test"
        ),
        "did you mean 'events_kept_for'",
    ),
    "class of records": (awaiting(lambda _: SET(retention={"workflow": 60})), "did you mean 'workflows'"),
    "type of event of a webhook": (
        lambda hand: hand.powertools.webhooks.add(
            "https://example.com/", types=["workflow.finish"], actor="ada", reason="because of a test"
        ),
        "did you mean 'workflow.finished'",
    ),
    "topic": (lambda hand: hand.powertools.events.read_topic("workflows:all", since=0), "did you mean 'workflow'"),
    # Definitions
    "duplicate step name": (building(lambda w: w.add("charge", step())), r"was added at .*test_mistakes\.py:\d+"),
    "duplicate name of a wait": (
        building(lambda w: w.await_signal("charge", signal="s", correlation_key="k")),
        "charge: a step of this name was added at",
    ),
    "insert a job": (lambda hand: as_any(hand).insert(step()), r"workflow\.add\(name, job\)"),
    "insert a list": (lambda hand: as_any(hand).insert([chain(1)]), "insert_many takes several"),
    "map a job": (building(lambda w: w.map("m", CHARGE.new(), over=[1])), "the worker itself: map makes its jobs"),
    "text for tags": (awaiting(lambda _: Workflow("w", tags="abc")), r"a list of tags; for one: \['abc'\]"),
    # Settings and arguments of Powertools
    "authorize=True": (lambda _: open_with(authorize=True), "authorize is True; expected a function"),
    "data_directory as text": (lambda _: open_with(data_directory="data"), r"expected a pathlib\.Path.*Path\('data'\)"),
    "a setting that is none": (awaiting(lambda _: SET(sweep_every="1s")), "sweep_every is '1s'; expected"),
    "a limit that is none": (awaiting(lambda _: LIMITED(streams="5")), "streams is '5'; expected"),
    "a handle as an id": (
        asking(lambda hand: as_any(hand).get(WorkflowHandle(id=WorkflowId(1), name="x", inserted=True, waiters=ANY))),
        r"pass workflow_id=\.\.\.\.id",
    ),
    "a wait for what is not committed": (wait_in_a_transaction, "or is not committed yet"),
    # DSNs
    "% in a password": (opening("postgresql://me:p%zz@host/db"), PASSWORD),
    "@ in a password": (opening("postgresql://me:sec@ret@host/db"), PASSWORD),
    "/ in a password": (opening("postgresql://me:sec/ret@host/db"), PASSWORD),
    "/ behind digits in a password": (opening("postgresql://me:1/ret@host/db"), PASSWORD),
    "SQLAlchemy's DSN": (opening("postgresql+psycopg://me@host/db"), r"without \+driver"),
    # Event loops
    "read in another loop": (another_loop(lambda powertools: powertools.workflows.list()), OTHER_LOOP),
    "wait in another loop": (another_loop(lambda powertools: powertools.workflows.wait(1)), OTHER_LOOP),
    "subscribe in another loop": (another_loop(subscribe), OTHER_LOOP),
    "connect in another loop": (another_loop(connect), OTHER_LOOP),
    "insert in another loop": (another_loop(lambda powertools: powertools.workflows.insert(chain(1))), OTHER_LOOP),
    "enqueue in another loop": (another_loop(lambda powertools: powertools.oban.enqueue(step())), OTHER_LOOP),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_the_sentence_comes_at_the_call(hand: Hand, mistake: str) -> None:
    make, sentence = MISTAKES[mistake]

    with pytest.raises((PowertoolsError, TypeError, ValueError, AttributeError), match=sentence) as raised:
        await make(hand)

    assert "ret@" not in str(raised.value)


async def test_a_notebook_starts_and_closes(dsn: str) -> None:
    powertools = await Powertools.start(dsn, queues={"default": 1}, authorize=everybody_may)
    workflow = Workflow("orders")
    workflow.add("charge", CHARGE.new())
    handle = await powertools.workflows.insert(workflow)

    assert (await handle.wait(30)).state == "completed"
    await powertools.close()
    await powertools.close()


async def test_a_wait_for_no_time_asks_once(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    for none in (0, 0.0, timedelta(0)):
        with pytest.raises(PowertoolsError, match="has not ended after 0:00:00"):
            await hand.workflows.wait(str(workflow_id), timeout=none)


async def test_a_wait_in_another_loop_is_refused_beside_one_in_this(hand: Hand) -> None:
    async with Powertools.open(hand.dsn) as powertools:
        workflow_id = (await powertools.workflows.insert(chain(1))).id
        here = asyncio.create_task(powertools.workflows.wait(workflow_id, timeout=30))
        async with powertools.events.subscribe_all():
            await asyncio.sleep(0)
            for call in (powertools.workflows.wait(workflow_id), subscribe(powertools)):
                with pytest.raises(AnotherLoopError):
                    await asyncio.to_thread(asyncio.run, _coroutine(call))
        await hand.run_all(workflow_id)

        assert (await here).state == "completed"


async def test_calls_of_open_calls_stay_in_their_loop(hand: Hand) -> None:
    async with open_calls(hand.oban._query._pool) as calls:
        with pytest.raises(AnotherLoopError):
            await asyncio.to_thread(asyncio.run, _coroutine(calls.workflows.list()))


def test_seconds_are_kept_as_durations() -> None:
    settings = SET(sweep_every=2, events_kept_for=3600, retention={"audit": 86_400, "signals": None})

    assert (settings.sweep_every, settings.events_kept_for) == (timedelta(seconds=2), timedelta(hours=1))
    assert settings.retention == {"audit": timedelta(days=1), "signals": None}
    assert LIMITED(lasts_for=60).lasts_for == timedelta(minutes=1)


def public_callables() -> Iterator[tuple[str, Any]]:
    yield from calls(Powertools_of_nothing())
    yield "AwaitSignal", AwaitSignal.__init__
    yield "Workflow", Workflow.__init__
    for kind in (Workflow, StepContext, WorkflowHandle):
        for name, member in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                yield f"{kind.__name__}.{name}", member
    for name, kind in inspect.get_annotations(sync.SyncCalls).items():
        for member_name, member in inspect.getmembers(kind, callable):
            if not member_name.startswith("_"):
                yield f"sync.{name}.{member_name}", member


class Powertools_of_nothing:  # noqa: N801
    """The groups of calls, without a database."""

    def __getattr__(self, name: str) -> Any:
        group = inspect.get_annotations(Powertools.__mro__[1])[name]
        return object.__new__(group)


def test_every_parameter_for_a_duration_takes_seconds_and_every_one_for_an_id_takes_text() -> None:
    narrow = [
        f"{name}({parameter}: {kind})"
        for name, member in public_callables()
        for parameter, kind in get_type_hints(inspect.unwrap(member)).items()
        if parameter != "return"
        and (
            ("timedelta" in str(kind) and "float" not in str(kind))
            or (parameter.endswith("_id") and parameter != "executor_id" and "str" not in str(kind))
            or (parameter in {"since", "before"} and "int" in str(kind) and "str" not in str(kind))
            or ("states." in str(kind) and "Id" in str(kind).rpartition("states.")[2])
        )
    ]

    assert narrow == []


# A script


async def test_every_worker_of_a_script_is_told_of_with_the_module_to_import(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    inner = Workflow("inner", on_finished=Job("__main__.after_inner", queue="elsewhere"))
    inner.add("a", Job("__main__.nested", queue="elsewhere"))
    workflow = Workflow("script", on_finished=Job("__main__.after", queue="elsewhere"))
    workflow.add_workflow("inner", inner)
    workflow.map("each", Scripted, over=[1])
    workflow.steps[-1].runs.job.worker = "__main__.mapped"  # pyright: ignore[reportAttributeAccessIssue]

    with caplog.at_level(logging.WARNING, "oban_powertools"):
        await hand.workflows.insert(workflow)

    told = [record.getMessage() for record in caplog.records]
    assert sorted(line.split(" ")[0] for line in told) == [
        "__main__.after",
        "__main__.after_inner",
        "__main__.mapped",
        "__main__.nested",
    ]
    assert all("import it from" in line and "instead of running that file" in line for line in told)


# The private server

OPENED = """
import asyncio
from oban import Job
from oban_powertools import Powertools, Workflow


async def main():
    workflow = Workflow("orders")
    workflow.add("charge", Job("shop.charge"))
    async with Powertools.open() as powertools:
        await powertools.workflows.insert(workflow)


asyncio.run(main())
"""


def test_the_private_server_is_told_of_and_the_command_finds_it(
    server_directory: Path,
) -> None:
    directory = server_directory / "oban-powertools" / "postgres"
    home: dict[str, Any] = {"XDG_DATA_HOME": str(server_directory)}
    before = command("workflow", "list", **home)
    told = subprocess.run(
        [sys.executable, "-c", OPENED], env=environment(None, **home), capture_output=True, text=True, check=True
    ).stderr

    listed = command("workflow", "list", "--json", **home)

    assert before.code == 2
    assert f"a private PostgreSQL runs in {directory}: look at it with psql" in told
    assert "set OBAN_DSN or pass dsn=" in told
    assert [found["id"] for found in listed.json["workflows"]] == ["1"]
    assert listed.err.startswith(f"no database is named: using the private PostgreSQL in {directory}")


# What is not installed


EXTRAS = {
    "mcp": ("mcp", "oban_powertools.cli as cli; sys.argv[1:] = ['mcp', '--dsn', 'x=']; cli.main()"),
    "opentelemetry": ("opentelemetry", "oban_powertools.integrations.opentelemetry"),
    "prometheus": ("prometheus_client", "oban_powertools.integrations.prometheus"),
    "sse": ("sse_starlette", "oban_powertools.integrations.sse"),
    "web": ("jinja2", "oban_powertools.web"),
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_needs_an_extra_names_it(extra: str) -> None:
    module, door = EXTRAS[extra]
    script = f"import sys\nsys.modules[{module!r}] = None\nimport {door}"

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr

    assert f"pip install 'oban-powertools[{extra}]'" in said


@pytest.mark.parametrize("file", ["ops_steps.py", "shop/ops_steps.py", "./ops_steps.py"])
def test_a_file_for_a_module_is_told_its_name(file: str, shared_dsn: str) -> None:
    ended = command("start", "--queues", "default:1", "--import", file, dsn=shared_dsn)

    assert ended.code == 2
    assert ended.error.endswith(f"name the module, {file.removeprefix('./').removesuffix('.py').replace('/', '.')}")


async def test_a_step_not_found_pickles_with_what_was_meant() -> None:
    import pickle

    error = StepNotFoundError(1, "chrage", "; did you mean 'charge'?")

    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "did you mean" not in str(StepNotFoundError(1, "chrage"))
    assert isinstance(error, PowertoolsError)


def test_an_unknown_setting_of_a_process_is_refused() -> None:
    with pytest.raises((TypeError, InvalidSettingError)):
        SET(sweep_evry=1)
