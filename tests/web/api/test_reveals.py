"""Reveals over HTTP: the value is in the answer alone."""

from typing import Any

import httpx
import pytest
from oban import Job

from oban_powertools import DisplayPolicy, Workflow
from tests.support.by_hand import Hand
from tests.support.console import console_of

SECRET = {"password": "velvet", "order": 7}
WHY = {"reason": "ticket 5512 of the bank"}


async def a_step(hand: Hand) -> tuple[str, str]:
    """A workflow with a secret in every value, and its job."""
    workflow = Workflow("leaky", context=SECRET)
    workflow.add("done", Job("tests.support.by_hand.Scripted", args=SECRET, max_attempts=1))
    workflow_id = await hand.insert(workflow)
    job = await hand.job(workflow_id, "done")
    await hand.run(workflow_id, {"done": SECRET})
    return str(workflow_id), str(job.id)


async def ask(client: httpx.AsyncClient, path: str, **body: str) -> httpx.Response:
    return await client.post(f"/api/v1{path}", json={**WHY, **body})


async def test_the_answer_has_the_value_and_its_record(hand: Hand) -> None:
    workflow_id, job_id = await a_step(hand)
    async with console_of(hand) as (_, client):
        answers = [
            await ask(client, f"/jobs/{job_id}/reveal", what="args"),
            await ask(client, f"/workflows/{workflow_id}/reveal", what="result", step="done"),
            await ask(client, f"/workflows/{workflow_id}/reveal", what="context"),
        ]

    assert [answer.json()["value"] for answer in answers] == [SECRET] * 3
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    records = await hand.powertools.audit.list(action="reveal_value")
    assert [str(record.id) for record in reversed(records)] == [answer.json()["audit_id"] for answer in answers]
    assert {record.surface for record in records} == {"api"}
    assert "velvet" not in str(records)


async def refused(hand: Hand, body: dict[str, str], **options: Any) -> httpx.Response:
    _, job_id = await a_step(hand)
    async with console_of(hand, **options) as (_, client):
        return await client.post(f"/api/v1/jobs/{job_id}/reveal", json=body)


class Never(DisplayPolicy):
    def may_reveal(self, kind: Any, value: Any) -> bool:
        return False


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        ({"what": "args", **WHY}, {"authorize": lambda *_: False}, 403),
        ({"what": "args", **WHY}, {"display": Never()}, 403),
        ({"what": "args", **WHY}, {"actor": lambda _: {"id": "helper", "type": "agent"}}, 403),
        ({"what": "args", **WHY}, {"read_only": True}, 403),
        ({"what": "args"}, {}, 428),
        ({"what": "args", "reason": "short"}, {}, 422),
        ({"what": "result", **WHY}, {}, 422),
        (WHY, {}, 422),
    ],
    ids=["deny all", "never", "agent", "read only", "no reason", "short", "not of a job", "nothing"],
)
async def test_whatever_is_refused_shows_nothing(
    hand: Hand, body: dict[str, str], options: dict[str, Any], status: int
) -> None:
    answer = await refused(hand, body, **options)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "velvet" not in answer.text
