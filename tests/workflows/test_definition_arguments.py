"""The calls that build a definition, and what a process is made with, refuse what is no argument of them."""

import asyncio
import dataclasses
import inspect
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from oban import Job
from oban.decorators import job, worker

from oban_powertools import AwaitSignal, Powertools, PowertoolsError, Settings, Workflow, WorkflowId
from oban_powertools.config import Around
from oban_powertools.errors import AnotherLoopError, InvalidArgumentError, InvalidSettingError, InvalidWorkflowError
from oban_powertools.integrations.sse import StreamLimits
from oban_powertools.workflows.compile import compile_workflow
from tests.project.test_arguments import ANYTHING, NOT_LISTS, NOT_SPANS
from tests.support.by_hand import Hand, Scripted, chain, step

# As an application without a type checker has them.
MADE: Any = Workflow
AWAITED: Any = AwaitSignal
SET: Any = Settings

NOT_DICTS = ("", "abc", 7, [], [("a", 1)])
NOT_DEPS = (7, 1.5, True, b"a", None)
OF_A_STEP: Mapping[str, tuple[Any, ...]] = {
    "name": ("", 7, None, []),
    "deps": NOT_DEPS,
    "on_failure": ("", "explode", 7, None, []),
    "effects": ("", "sometimes", 7, None, []),
    "delay": (*NOT_SPANS, timedelta(seconds=-1), timedelta.max),
}
NOT_JOBS = (None, "", 7, Scripted, chain(1), {})


def own(*names: str, **more: tuple[Any, ...]) -> Mapping[str, tuple[Any, ...]]:
    return {**{name: OF_A_STEP[name] for name in names}, **more}


BUILDING: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "__init__": {
        "name": ("", "  ", None, 7, []),
        "context": (*NOT_DICTS, 0),
        "idempotency_key": ("", "  ", 0, 7, []),
        "expires_in": (*NOT_SPANS, timedelta(0), -timedelta(days=1), timedelta.max),
        "tags": (*NOT_LISTS, [7], [None]),
        "definition_version": (0, 7, []),
        "on_finished": ("", 0, 7, Scripted),
    },
    "add": {**OF_A_STEP, "job": NOT_JOBS},
    "add_many": own(
        "deps",
        "on_failure",
        "effects",
        "delay",
        jobs=(*NOT_DICTS[:3], None, {"": step()}, *({"a": bad} for bad in NOT_JOBS)),
    ),
    "await_signal": own(
        "name",
        "deps",
        "on_failure",
        signal=("", "  ", None, 7),
        correlation_key=("", None, 7, []),
        deadline=(*NOT_SPANS, timedelta.max),
    ),
    "add_workflow": own("name", "deps", "on_failure", workflow=(None, "", step(), {})),
    "map": own(
        "name",
        "deps",
        "on_failure",
        "effects",
        worker=(None, "", 7, step(), Scripted()),
        over=("", "abc", 7, None, {}),
        args=(*NOT_DICTS, 0),
        max_failures=(-1, "1", 1.5, True, None),
    ),
    "connect": {"parent": ("", "nobody", 7, None), "child": ("", "nobody", None), "policy": ("", "explode", 7, [])},
    "result": {"step": ANYTHING},
    "to_mermaid": {},
    "to_dot": {},
}
"""Call -> argument -> values that are no such argument."""

NEEDED: Mapping[str, Any] = {
    "name": "it",
    "job": step(),
    "jobs": {"it": step()},
    "signal": "s",
    "correlation_key": "k",
    "worker": Scripted,
    "over": [1],
    "parent": "a",
    "child": "b",
}


def build(call: str, argument: str, value: object) -> None:
    workflow = Workflow("sound")
    workflow.add_many({"a": step(), "b": step()})
    method = Workflow if call == "__init__" else getattr(workflow, call)
    sound = {
        p.name: chain(1) if p.name == "workflow" else NEEDED[p.name]
        for p in inspect.signature(method).parameters.values()
        if p.default is inspect.Parameter.empty
    }
    built = method(**{**sound, argument: value})
    if isinstance(built, Workflow):
        built.add("a", step())
    compile_workflow(built if isinstance(built, Workflow) else workflow, 1024)


def test_every_argument_that_builds_a_definition_is_described() -> None:
    methods = {
        "__init__": Workflow,
        **{n: m for n, m in inspect.getmembers(Workflow, callable) if not n.startswith("_")},
    }
    methods.pop("item", None)

    arguments = {name: set(inspect.signature(method).parameters) - {"self"} for name, method in methods.items()}

    assert arguments == {name: set(kinds) for name, kinds in BUILDING.items()}


@pytest.mark.parametrize(("call", "argument"), [(c, a) for c, kinds in BUILDING.items() for a in kinds if kinds[a]])
def test_what_is_no_argument_never_becomes_a_plan(call: str, argument: str) -> None:
    raised: dict[str, BaseException | None] = {}

    for value in BUILDING[call][argument]:
        try:
            build(call, argument, value)
            raised[repr(value)] = None
        except Exception as error:  # noqa: BLE001 - which one is the question
            raised[repr(value)] = error

    refused = (PowertoolsError, *((ValueError,) if call == "connect" else ()))
    assert {shown: error for shown, error in raised.items() if not isinstance(error, refused)} == {}


def test_iterables_of_dependencies_and_tags_are_read_once() -> None:
    workflow = Workflow("read", tags=(tag for tag in ("x", "y")))
    workflow.add_many({"a": step(), "b": step()})
    workflow.add_many({"c": step(), "d": step()}, deps=(name for name in ("a", "b")))
    workflow.add("e", step(), deps=map(str, ("c", "d")))

    plan = compile_workflow(workflow, 1024)

    assert plan.tags == ["x", "y"]
    assert [planned.parents for planned in plan.steps] == [[], [], [0, 1], [0, 1], [2, 3]]


# What a fault says


def faults(workflow: Workflow) -> str:
    with pytest.raises(InvalidWorkflowError) as raised:
        compile_workflow(workflow, 1024)
    return str(raised.value)


def test_a_fault_names_the_line_that_added_the_step() -> None:
    workflow = Workflow("lines")
    workflow.add("a", step(), deps="b")
    frame = inspect.currentframe()
    assert frame is not None
    line = frame.f_lineno - 3
    workflow.add_many({"c": step(args={"at": {1}}), "d": step()})

    said = faults(workflow)

    assert f"[missing_dependency] (added at {__file__}:{line})" in said
    assert f"[non_serializable] (added at {__file__}:{line + 4})" in said


def test_a_near_miss_of_a_steps_name_is_told() -> None:
    workflow = Workflow("near")
    workflow.add("charge", step())
    workflow.add("ship", step(args={"of": Workflow.result("chrage")}), deps="chargee")
    workflow.add("far", step(), deps="zzz")

    said = faults(workflow)

    assert said.count("did you mean 'charge'?") == 2
    assert "no step has that name [missing_dependency]" in said


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (Scripted, "expected an Oban job"),
        (worker()(type("W", (), {})), r"call .new(...) on the worker"),
    ],
)
def test_what_is_no_job_comes_with_a_hint(found: Any, hint: str) -> None:
    workflow = Workflow("hints")
    workflow.add("a", found)

    assert hint in faults(workflow)


def test_a_workflow_is_added_by_a_call_of_its_own() -> None:
    with pytest.raises(InvalidArgumentError, match="add_workflow adds a workflow as one step"):
        MADE("outer").add("inner", chain(1))


def test_a_step_in_args_says_to_pass_its_result() -> None:
    workflow = Workflow("handles")
    charge = workflow.add("charge", step())
    workflow.add("ship", step(args={"items": [charge]}))

    assert "ship.args.items[0]: a step is no value; pass its result: charge.result" in faults(workflow)


def test_a_model_in_args_says_how_to_dump_it() -> None:
    class Model:
        def model_dump(self) -> dict[str, Any]: ...

    workflow = Workflow("models")
    workflow.add("a", step(args={"m": Model()}))

    assert 'pass value.model_dump(mode="json")' in faults(workflow)


@pytest.mark.parametrize(
    "use",
    [
        lambda r: r + 1,
        lambda r: 1 + r,
        lambda r: r * 2,
        lambda r: r - r,
        lambda r: r / 2,
        lambda r: r < 1,
        lambda r: r >= r,
        lambda r: bool(r),
        lambda r: r or 1,
        lambda r: int(r),
        lambda r: float(r),
        lambda r: len(r),
        lambda r: -r,
        lambda r: r["a"] | r,
        lambda r: 1 in r,
        lambda r: list(r),
        lambda r: f"{r}",
        lambda r: asyncio.run(_awaited(r)),
    ],
)
def test_nothing_is_computed_with_a_reference(use: Any) -> None:
    with pytest.raises(TypeError, match="reference"):
        use(Workflow.result("a"))


def test_an_attribute_of_a_reference_says_how_to_take_a_part() -> None:
    with pytest.raises(AttributeError, match=r"reference\['total'\]"):
        _ = Workflow.result("bill").total


def test_a_handle_is_neither_text_nor_a_value() -> None:
    handle = Workflow("w").add("a", step())

    for use in (lambda: f"{handle}", lambda: str(handle), lambda: handle["total"]):
        with pytest.raises(TypeError, match=r"step\.result"):
            use()


async def _awaited(reference: Any) -> Any:
    return await reference


async def test_a_job_that_was_enqueued_is_no_step(hand: Hand) -> None:
    enqueued = await hand.oban.enqueue(step())

    with pytest.raises(InvalidArgumentError, match=f"job {enqueued.id}, which is enqueued already"):
        Workflow("twice").add("a", enqueued)
    with pytest.raises(InvalidArgumentError, match=f"job {enqueued.id}"):
        Workflow("twice", on_finished=enqueued)


async def test_a_job_that_is_enqueued_after_it_was_added_is_a_fault(hand: Hand) -> None:
    workflow, late = Workflow("twice"), step()
    workflow.add("a", late)
    await hand.oban.enqueue(late)

    with pytest.raises(InvalidWorkflowError, match="enqueued_job"):
        await hand.workflows.insert(workflow)


async def test_insert_says_what_it_takes(hand: Hand) -> None:
    insert: Any = hand.workflows.insert
    several: Any = [chain(1), step()]

    with pytest.raises(InvalidArgumentError, match=r"workflow.add\(name, job\)"):
        await insert(step())
    with pytest.raises(InvalidArgumentError, match="insert_many takes several"):
        await insert([chain(1)])
    with pytest.raises(InvalidArgumentError, match=r"workflows\[1\] is .*expected a Workflow"):
        await hand.powertools.workflows.insert_many(several)
    assert await hand.one("SELECT count(*) FROM powertools.workflows") == 0


async def test_a_synchronous_connection_is_refused_by_name(hand: Hand, shared_dsn: str) -> None:
    import psycopg

    with psycopg.connect(shared_dsn) as conn, pytest.raises(TypeError, match=r"asynchronous.*psycopg's Connection"):
        await hand.workflows.insert(chain(1), conn=conn)


@worker(queue="mine", region="eu", max_attempts=2, tags=["a"], meta={"team": "x"}, priority=3)
class Regional:
    async def process(self, _: Job) -> None: ...


@job(queue="late", scheduled_in=60)
def later(item: int) -> None: ...


@pytest.mark.parametrize("kind", [Regional, later])
async def test_a_workers_options_are_kept_in_a_map_as_in_a_step(hand: Hand, kind: Any) -> None:
    alone, mapped = Workflow("alone"), Workflow("mapped")
    alone.add("it", kind.new(item=1) if kind is later else kind.new({"item": 1}))
    mapped.map("it", kind, over=[1])

    for workflow in (alone, mapped):
        await hand.workflows.insert(workflow)

    columns = "worker, queue, max_attempts, priority, tags, args, meta ->> 'team', state, scheduled_at > now() + '50 s'"
    rows = await hand.rows(f"SELECT {columns} FROM oban_jobs ORDER BY id")
    assert rows[0] == rows[1]


# A process


@pytest.mark.parametrize("kind", [Settings, StreamLimits])
def test_every_setting_refuses_what_is_none(kind: Any) -> None:
    bad: dict[Any, tuple[Any, ...]] = {
        timedelta: (*NOT_SPANS, None, -timedelta(seconds=1), timedelta.max),
        int: (0, -1, True, "5", 1.5, None),
        bool: ("", "no", 0, 1, None),
        str: ("", 7, None, []),
        str | None: ("", 7, []),
        timedelta | None: (*NOT_SPANS, -timedelta(seconds=1), timedelta.max),
        Sequence[Around]: ("", 7, None, "abc", [7]),
        int | None: (0, -1, True, "5", 1.5),
    }
    accepted: list[str] = []

    for setting in dataclasses.fields(kind):
        for value in bad.get(setting.type, ("", 7, [], None, "abc")):
            try:
                kind(**{setting.name: value})
                accepted.append(f"{setting.name}={value!r}")
            except InvalidSettingError as error:
                assert error.setting == setting.name

    assert accepted == []


def test_a_loop_that_would_never_pause_is_refused() -> None:
    for name in (f.name for f in dataclasses.fields(Settings) if f.name.endswith("_every")):
        with pytest.raises(InvalidSettingError, match=name):
            SET(**{name: timedelta(0)})


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("authorize", (True, "everybody", 7)),
        ("display", ("", {}, 7)),
        ("settings", ({}, "", 7)),
        ("schema", ("", 7, None, "Upper")),
        ("turbo", ("no", 0, None)),
    ],
)
async def test_powertools_refuses_what_is_no_argument_of_it(hand: Hand, argument: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(InvalidSettingError, match=argument):
            Powertools(hand.oban, **{argument: value})
        with pytest.raises(InvalidSettingError, match=argument):
            async with Powertools.open("postgresql:///nowhere", **{argument: value}):
                pass


async def test_opening_refuses_what_is_no_argument_of_it() -> None:
    bad: dict[str, tuple[Any, ...]] = {"dsn": ("", 7), "data_directory": ("data", 7), "queues": ([], "default", 7)}
    for argument, values in bad.items():
        for value in values:
            with pytest.raises(InvalidSettingError, match=argument):
                async with Powertools.open(**{argument: value}):
                    pass


async def test_an_unreadable_dsn_says_what_to_do_and_does_not_show_the_password() -> None:
    with pytest.raises(InvalidSettingError, match="percent-encoded") as raised:
        async with Powertools.open("postgresql://me:se%cret@host/db"):
            pass

    assert "cret" not in str(raised.value)


async def test_another_event_loop_is_refused_at_the_first_call(powertools: Powertools) -> None:
    def elsewhere() -> BaseException | None:
        try:
            asyncio.run(powertools.workflows.list())
        except AnotherLoopError as error:
            return error
        return None

    assert "another event loop" in str(await asyncio.to_thread(elsewhere))


async def test_a_worker_of_the_script_is_told_of_where_nobody_runs_it_here(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    workflow = Workflow("script")
    workflow.add("a", Job("__main__.bill", queue="elsewhere"))
    workflow.add("b", Job("__main__.ship", queue="here"))
    hand.workflows.queues_here = lambda: {"here"}
    try:
        with caplog.at_level(logging.WARNING, "oban_powertools"):
            await hand.workflows.insert(workflow)
    finally:
        hand.workflows.queues_here = tuple

    assert [record.getMessage().split(" ")[0] for record in caplog.records] == ["__main__.bill"]


# Waiting


@pytest.mark.parametrize("span", [timedelta(0), timedelta(seconds=-1), timedelta.min])
async def test_a_wait_without_time_asks_once(hand: Hand, span: timedelta) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(hand.workflows.wait(workflow_id, timeout=span), 10)
    await hand.run_all(workflow_id)

    assert (await hand.workflows.wait(workflow_id, timeout=span)).id == workflow_id


async def test_text_and_number_are_the_same_id(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run_all(workflow_id)

    waited = await asyncio.wait_for(hand.workflows.wait(str(workflow_id)), 10)

    assert waited == await hand.workflows.get(str(workflow_id)) == await hand.workflows.get(WorkflowId(workflow_id))
    assert hand.powertools.events.topic_workflow(str(workflow_id)) == f"workflow:{workflow_id}"


def test_what_is_made_says_what_it_is(tmp_path: Path) -> None:
    assert repr(chain(2)).endswith("of 2 steps>")
