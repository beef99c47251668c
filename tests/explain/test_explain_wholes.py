"""Explanations of jobs and workflows, and what holds for every explanation."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from oban_powertools import Powertools, Workflow
from oban_powertools.config import Names
from oban_powertools.database import Queries
from oban_powertools.errors import JobNotFoundError, StepNotFoundError, WorkflowNotFoundError
from oban_powertools.explain import (
    Blocker,
    BlockerCode,
    Dependency,
    ExplainedAction,
    ExplainedIncident,
    ExplainedRepair,
    RootCause,
    RootCauseGroup,
    Scope,
)
from oban_powertools.states import JobId, OperatorStatus, WorkflowId
from tests.support.by_hand import Hand, chain, step
from tests.support.explaining import FAILURE, causes, codes, enqueue, job_id_of, register, sync

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "oban_powertools" / "explain"
RECORDS = (Blocker, Dependency, RootCause, RootCauseGroup, ExplainedAction, ExplainedIncident, ExplainedRepair)
PAGE = ROOT / "docs" / "reference" / "explain.md"


async def test_a_steps_job_is_explained_with_its_step(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    job_id = await job_id_of(hand, workflow_id, "fetch")

    explained = await hand.powertools.explain.job(job_id)

    assert (explained.workflow_id, explained.step, explained.status) == (workflow_id, "fetch", OperatorStatus.RUNNABLE)
    assert explained.summary == f"job {job_id} is ready to run in queue default"
    assert "complete_step" in [action.name for action in explained.legal_actions]


async def test_a_plain_job_is_explained_without_a_step(hand: Hand) -> None:
    job_id = await enqueue(hand, queue="plain")

    explained = await hand.powertools.explain.job(job_id)

    assert (explained.workflow_id, explained.step) == (None, None)
    assert [action.name for action in explained.legal_actions] == ["job_cancel", "job_discard"]
    assert (explained.status, codes(explained)) == (OperatorStatus.BLOCKED, ["queue_has_no_executor"])


async def test_a_job_that_only_claims_to_be_a_step_is_explained_as_a_plain_one(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run_all(workflow_id)
    forged = await enqueue(hand, meta={"workflow_id": workflow_id, "position": 0})
    odd = await enqueue(hand, meta={"workflow_id": "x", "position": {"y": 1}})

    explained = [await hand.powertools.explain.job(job_id) for job_id in (forged, odd)]

    assert [(e.workflow_id, e.step) for e in explained] == [(None, None), (None, None)]


async def test_a_discarded_job_tells_its_error_and_its_node(hand: Hand) -> None:
    job_id = await enqueue(hand)
    [started] = await hand.start(job_id)
    await hand.ack(await hand.execute(started, FAILURE))

    explained = await hand.powertools.explain.job(job_id)

    assert (explained.status, codes(explained)) == (OperatorStatus.FINISHED, ["attempts_exhausted"])
    assert (explained.error, explained.executor) == ("RuntimeError: HTTP 503 from billing", "node")


async def test_a_workflow_is_explained_by_its_counts_and_root_causes(hand: Hand) -> None:
    await register(hand)
    workflow = sync()
    workflow.add_many({"a": step(), "b": step(), "c": step()})
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"fetch": None})
    await hand.run(workflow_id, {"sync_billing": FAILURE})

    explained = await hand.powertools.explain.workflow(workflow_id)

    assert explained.counts == {"available": 3, "completed": 1, "pending": 1, "retryable": 1}
    assert (explained.total, explained.open) == (6, 5)
    assert [(group.code, group.count) for group in explained.root_causes] == [("retry_backoff", 1), ("available", 3)]
    assert [cause.step for cause in explained.root_causes[1].examples] == ["a", "b", "c"]
    assert explained.status is OperatorStatus.RUNNABLE
    assert explained.summary.startswith("sync_customer is running, 1 of 6 steps ended: sync_billing is retrying")


async def test_the_most_urgent_root_cause_of_a_workflow_comes_first(hand: Hand) -> None:
    await register(hand)
    workflow = Workflow("mixed")
    workflow.add_many({"fine": step(), "running": step(), "lost": step(queue="nobody")})
    workflow_id = await hand.insert(workflow)
    await hand.start((await hand.job(workflow_id, "running")).id)

    explained = await hand.powertools.explain.workflow(workflow_id)

    assert [group.code for group in explained.root_causes] == ["queue_has_no_executor", "executing", "available"]
    assert explained.status is OperatorStatus.BLOCKED


async def test_a_failed_workflow_is_explained_by_what_failed(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": FAILURE})

    explained = await hand.powertools.explain.workflow(workflow_id)

    assert [(group.code, group.count) for group in explained.root_causes] == [("attempts_exhausted", 1)]
    assert explained.summary == (
        "sync_customer is failed, 3 of 3 steps ended: "
        "fetch failed after 1 of 1 attempts: RuntimeError: HTTP 503 from billing"
    )


async def test_many_root_causes_are_counted_and_only_some_listed(hand: Hand) -> None:
    await register(hand)
    workflow = Workflow("wide")
    workflow.add_many({f"p{n}": step() for n in range(150)} | {"lost": step(queue="nobody")})
    workflow.add("end", step(), deps=[*(f"p{n}" for n in range(150)), "lost"])
    workflow_id = await hand.insert(workflow)

    explained = await hand.powertools.explain.workflow_step(workflow_id, "end")
    whole = await hand.powertools.explain.workflow(workflow_id)

    assert (len(explained.root_causes), explained.more_root_causes) == (20, 131)
    assert (len(explained.dependencies), explained.more_dependencies) == (100, 51)
    assert explained.root_causes[0].step == "lost"
    assert explained.summary == (
        "end waits for 151 steps, first of all lost, which cannot start: no executor works on queue nobody"
    )
    assert [(g.code, g.count, len(g.examples)) for g in whole.root_causes] == [
        ("queue_has_no_executor", 1, 1),
        ("available", 150, 3),
    ]
    assert whole.root_causes[1].summary == "p0 is ready to run in queue default (and 149 more like it)"


async def test_a_step_reached_on_many_paths_is_one_root_cause(hand: Hand) -> None:
    await register(hand)
    workflow = Workflow("lattice")
    workflow.add("root", step())
    before = ["root"]
    for level in range(12):
        before = [workflow.add(f"{side}{level}", step(), deps=before).name for side in "ab"]
    workflow_id = await hand.insert(workflow)

    explained = await hand.powertools.explain.workflow_step(workflow_id, "a11")

    assert causes(explained) == {"root": "available"}


async def test_an_explanation_is_json(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": None})
    await hand.run(workflow_id, {"sync_billing": FAILURE})
    explain = hand.powertools.explain
    explained = await explain.workflow_step(workflow_id, "notify")

    read_back = json.loads(json.dumps(explained.to_dict()))

    assert read_back["status"] == "Blocked"
    assert read_back["blockers"][1]["retry_at"].endswith("Z")
    assert read_back["root_causes"][0]["code"] == "retry_backoff"
    assert json.dumps((await explain.workflow(workflow_id)).to_dict())
    assert json.dumps((await explain.job(await job_id_of(hand, workflow_id, "fetch"))).to_dict())


async def test_explaining_what_does_not_exist_says_what_is_missing(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())

    with pytest.raises(WorkflowNotFoundError):
        await hand.powertools.explain.workflow_step(WorkflowId(404), "fetch")
    with pytest.raises(StepNotFoundError):
        await hand.powertools.explain.workflow_step(workflow_id, "nowhere")
    with pytest.raises(WorkflowNotFoundError):
        await hand.powertools.explain.workflow(WorkflowId(404))
    with pytest.raises(JobNotFoundError):
        await hand.powertools.explain.job(JobId(404))


async def test_a_running_workflow_is_explained_from_its_own_executors(powertools: Powertools) -> None:
    workflow = Workflow("live")
    workflow.add("elsewhere", step(queue="nobody"))
    workflow.add("later", step(scheduled_in=3600))
    handle = await powertools.workflows.insert(workflow)

    explained = await powertools.explain.workflow(handle.id)

    assert [group.code for group in explained.root_causes] == ["queue_has_no_executor", "scheduled"]


async def test_a_step_near_the_start_of_a_long_chain_costs_only_its_ancestors(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(chain(3000))
    query = Queries(Names())["explain_causes"]

    async def pages_read(position: int) -> int:
        args = {"workflow_id": workflow_id, "position": position, "examples": 20, "page": 20}
        cursor = await hand.conn.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + query, args)
        [[[plan]]] = await cursor.fetchall()
        return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]

    near, far = await pages_read(5), await pages_read(2999)

    # As a share: pages with rows of tests before, rolled back, are read on the way.
    assert near < far / 50
    assert far > 3000


def test_every_code_scope_and_field_has_its_place_on_the_reference_page() -> None:
    page = PAGE.read_text()
    fields = {field.name for record in RECORDS for field in dataclasses.fields(record)}

    assert {word for word in {*BlockerCode, *Scope, *fields} if f"`{word}`" not in page} == set()


async def test_every_detail_of_a_blocker_has_its_place_on_the_reference_page() -> None:
    page = PAGE.read_text()
    source = "".join(path.read_text() for path in SOURCE.glob("*.py"))
    written = re.findall(r"(?:details|attempts)\b[^=]*= ?\{(.*?)\}", source, re.DOTALL)

    keys = {key for text in written for key in re.findall(r'"(\w+)"(?=:)', text)}

    assert len(keys) > 10
    assert {key for key in keys if f"`{key}`" not in page} == set()
