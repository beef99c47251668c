"""An exported workflow comes back in a test as it was, without its secrets."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from oban_powertools import Workflow
from oban_powertools.testing import UnreadableExportError, WorkflowRunner, open_runner
from oban_powertools.testing.databases import Databases
from tests.support.command import powertools
from tests.testing.workers import double, echo, fail, flaky, tell

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "workflow-export.schema.json").read_text())
DAY = timedelta(days=1)


def incident() -> Workflow:
    inner = Workflow("inner")
    inner.add("inside", echo.new(x=1))
    workflow = Workflow("incident", context={"account": 7}, tags=["a"], on_finished=tell.new())
    first = workflow.add("first", echo.new(x={"password": "hunter2", "n": [1, 2]}))
    workflow.add("later", flaky.new(), delay=DAY)
    workflow.add("broken", fail.new(text="card declined"), deps={"first": "continue"})
    workflow.await_signal("approve", signal="approval", correlation_key="7", deadline=3 * DAY)
    workflow.await_signal("told", signal="told", correlation_key="7")
    workflow.map("mapped", double, over=first.result["n"], args={"n": Workflow.item})
    workflow.add_workflow("nested", inner, deps=["approve"])
    workflow.add("last", echo.new(x=[first.result, {"token": "abc"}]), deps=["nested", "broken"])
    return workflow


@pytest.fixture
async def exported(workflow_runner: WorkflowRunner) -> dict[str, Any]:
    workflows = workflow_runner.powertools.workflows
    await workflow_runner.run(_one())
    handle = await workflows.insert(incident())
    await workflow_runner.drain()
    await workflow_runner.advance(timedelta(hours=1))
    await workflow_runner.signal("told", "7", {"by": "bob"})
    return await workflows.export(handle.id)


@pytest.fixture
def other_dsn(powertools_server: str, powertools_template: str) -> Any:
    server = Databases(powertools_server)
    with server.copy(powertools_template) as dsn:
        yield dsn
    server.close()


def moments_apart(one: Any, other: Any) -> bool:
    return one is other is None or abs(one - other) < timedelta(seconds=30)


async def test_it_is_there_as_it_was(workflow_runner: WorkflowRunner, exported: dict[str, Any], other_dsn: str) -> None:
    before = await workflow_runner.look(exported["workflow_id"])

    with open_runner(other_dsn) as other:
        after = await other.look(await other.load(exported))
        async with other.powertools.connect() as conn:
            broken = await (await conn.execute("SELECT * FROM powertools.check_invariants_v1()")).fetchall()

    assert broken == []
    assert list(after.steps) == list(before.steps)
    for name, step in before.steps.items():
        again = after.steps[name]
        same = ("state", "kind", "attempt", "deps", "worker", "queue", "job_id", "child_id", "cause", "signal")
        assert {part: getattr(again, part) for part in same} == {part: getattr(step, part) for part in same}
        assert moments_apart(again.scheduled_at, step.scheduled_at)
        assert moments_apart(again.deadline_at, step.deadline_at)
        assert moments_apart(again.finished_at, step.finished_at)
    # It was read later, and says in how many hours something is due.
    assert re.sub(r"due in \d+ \w+", "", after.why) == re.sub(r"due in \d+ \w+", "", before.why)


async def test_it_runs_on_to_its_end(exported: dict[str, Any], other_dsn: str) -> None:
    with open_runner(other_dsn) as other:
        workflow_id = await other.load(exported)
        run = await other.run(workflow_id, signals={"approve": True}, fakes={"last": "done"})

        run.assert_finished("failed")
        run.assert_step("later", attempts=4, result=1)
        run.assert_step("mapped", result=[2, 4])
        run.assert_step("nested", result={"inside": 1})
        await other.powertools.workflows.recover(run.id, actor="ann", reason="the bank is open again")
        again = await other.run(run.id, fakes={"broken": "fine", "last": "done"})

    again.assert_finished()
    again.assert_step("last", args={"x": [{"password": "[redacted]", "n": [1, 2]}, {"token": "[redacted]"}]})


async def test_an_old_export_is_as_young_as_it_was(exported: dict[str, Any], other_dsn: str) -> None:
    month = timedelta(days=40)
    moved = json.loads(json.dumps(exported))
    moved["exported_at"] = (datetime.fromisoformat(exported["exported_at"]) - month).isoformat()
    for step in moved["steps"]:
        for part in ("released_at", "started_at", "finished_at"):
            step[part] = step[part] and (datetime.fromisoformat(step[part]) - month).isoformat()

    with open_runner(other_dsn) as other:
        own = await other.run(_one())
        run = await other.look(await other.load(moved | {"workflow_id": exported["workflow_id"]}))

    finished = run.steps["first"].finished_at
    assert finished is not None
    assert datetime.now(UTC) - finished < timedelta(hours=2)
    assert moments_apart(own.workflow.inserted_at, datetime.now(UTC))


def _one() -> Workflow:
    workflow = Workflow("own")
    workflow.add("a", echo.new(x=1))
    return workflow


async def test_secrets_do_not_leave(exported: dict[str, Any]) -> None:
    text = json.dumps(exported)

    assert "hunter2" not in text
    assert '"abc"' not in text
    assert "card declined" in text


async def test_it_is_what_its_schema_says(exported: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(SCHEMA)

    assert list(Draft202012Validator(SCHEMA).iter_errors(json.loads(json.dumps(exported)))) == []


async def test_the_ids_that_come_next_are_free(exported: dict[str, Any], other_dsn: str) -> None:
    with open_runner(other_dsn) as other:
        loaded = await other.load(exported)
        run = await other.run(_one())

    run.assert_finished()
    assert run.id > loaded


async def test_what_is_there_already_is_refused(exported: dict[str, Any], other_dsn: str) -> None:
    with open_runner(other_dsn) as other:
        await other.load(exported)

        with pytest.raises(UnreadableExportError, match="something of it is here already"):
            await other.load(exported)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2; expected 'oban-powertools/workflow', version 1"),
        ({"format": "x"}, "format is 'x'"),
        ({"steps": None}, "the export lacks steps"),
    ],
)
async def test_another_document_is_refused(
    workflow_runner: WorkflowRunner, changes: dict[str, Any], message: str
) -> None:
    known: dict[str, Any] = {"format": "oban-powertools/workflow", "version": 1, "workflow_id": 1, "exported_at": "x"}
    tables = {name: [] for name in ("workflows", "steps", "waits", "signals", "callbacks", "jobs", "events")}
    document = {name: value for name, value in (known | tables | changes).items() if value is not None}

    with pytest.raises(UnreadableExportError, match=message):
        await workflow_runner.load(document)


async def test_the_command_writes_a_file_that_a_runner_loads(
    workflow_runner: WorkflowRunner, exported: dict[str, Any], other_dsn: str, tmp_path: Path
) -> None:
    file = tmp_path / "incident.json"

    told = powertools("workflow", "export", str(exported["workflow_id"]), "--file", str(file), dsn=workflow_runner.dsn)

    assert told.code == 0
    assert f"exported into {file}" in told.err
    with open_runner(other_dsn) as other:
        assert await other.load(file) == exported["workflow_id"]


async def test_the_command_prints_it(workflow_runner: WorkflowRunner, exported: dict[str, Any]) -> None:
    printed = powertools("workflow", "export", str(exported["workflow_id"]), dsn=workflow_runner.dsn)

    assert json.loads(printed.out)["steps"] == exported["steps"]
