"""A link to something that retention has removed says so, in page and API; one to what never was does not."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from oban_powertools import open_calls
from oban_powertools.database import connect
from oban_powertools.errors import NotFoundError, PowertoolsError, WorkflowNotFoundError
from tests.support.by_hand import GUARD, UNGUARD
from tests.support.console import Shop, furnished_console
from tests.support.readers import reader_of

NEVER = "900000"
"""A number that no sequence has come to."""

REMOVED = f"{UNGUARD}; {{}}; {GUARD}"
"""As retention, and as Oban's pruner, remove it."""

LATE = """
INSERT INTO powertools.late_results (job_id, attempt, attempted_at, attempted_by, state, queue, worker)
VALUES (6, 1, now(), '{a,b}', 'completed', 'default', 'shop.Pack')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of thing that a link may be about."""

    name: str
    """As the sentence has it."""

    table: str
    """Where it was."""

    pages: tuple[str, ...] = ()
    """Its pages."""

    api: tuple[str, ...] = ()
    """Where the API has it."""

    act: tuple[str, str, str] | None = None
    """A repair of it, what that is called in the API, and its target."""

    made: str | None = None
    """SQL that makes one, where the shop has none; its number is 1."""

    number: int = 1


KINDS = (
    Kind(
        name="Workflow",
        table="powertools.workflows",
        number=4,
        pages=("/workflows/{}", "/workflows/{}?tab=steps&step=pay", "/workflows/{}/step?name=pay"),
        api=(
            "/workflows/{}",
            "/workflows/{}/steps",
            "/workflows/{}/history",
            "/workflows/{}/explain",
            "/workflows/{}/graph",
        ),
        act=("workflow_cancel", "workflow", "{}"),
    ),
    Kind(name="Step", table="powertools.workflows", number=4, act=("step_release", "step", "{}/pay")),
    Kind(
        name="Job",
        table="oban_jobs",
        number=6,
        pages=("/jobs/{}",),
        api=("/jobs/{}", "/jobs/{}/explain"),
        act=("job_rescue", "job", "{}"),
    ),
    Kind(name="Incident", table="powertools.incidents", pages=("/incidents/{}",), api=("/incidents/{}",)),
    Kind(
        name="Preview",
        table="powertools.previews",
        pages=("/previews/{}", "/repairs/{}", "/previews/{}/manifest.json"),
        api=("/previews/{}", "/previews/{}/check"),
    ),
    Kind(name="Bulk", table="powertools.bulks", pages=("/bulks/{}", "/bulks/{}/manifest.csv"), api=("/bulks/{}",)),
    Kind(name="Audit record", table="powertools.audit", pages=("/audit/{}",), api=("/audit/{}",)),
    Kind(
        name="Webhook",
        table="powertools.webhook_endpoints",
        pages=("/webhooks/{}", "/webhooks/{}/disable", "/webhooks/{}/replay"),
        api=("/webhooks/{}", "/webhooks/{}/deliveries"),
    ),
    Kind(name="Signal", table="powertools.signals", act=("signal_discard", "signal", "{}")),
    Kind(
        name="Late result", table="powertools.late_results", made=LATE, act=("late_result_dismiss", "late_result", "{}")
    ),
)


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn) as shop:
        lifeline, ada = shop.hand.powertools.lifeline, {"id": "ada"}
        await lifeline.preview_repair(ada, action="job_rescue", target_type="job", target_id="6")
        await lifeline.preview_bulk(ada, "step_retry", {"state": "discarded"})
        yield shop
        await shop.hand.leave_empty()


@pytest.fixture
def reading_dsn(shop: Shop, dsn: str) -> Iterator[str]:
    """The shop's database, as somebody who may only read it."""
    with reader_of(dsn) as reading:
        yield reading


async def asked(shop: Shop, kind: Kind, number: object) -> dict[str, httpx.Response]:
    """Address -> answer, of every door to one thing of a kind."""
    answers = {path: await shop.client.get(path) for path in (each.format(number) for each in kind.pages)}
    for path in (f"/api/v1{each.format(number)}" for each in kind.api):
        answers[path] = await shop.client.get(path)
    if kind.act is not None:
        action, target_type, target = kind.act
        form = {"act": action, "target": target.format(number)}
        body = {"action": action, "target_type": target_type, "target_id": target.format(number)}
        answers["POST /previews"] = await shop.client.post("/previews", data=form)
        answers["POST /api/v1/previews"] = await shop.client.post("/api/v1/previews", json=body)
    return answers


def statuses(answers: dict[str, httpx.Response]) -> dict[str, int]:
    return {path: answer.status_code for path, answer in answers.items()}


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
async def test_what_retention_has_removed_is_gone_and_what_never_was_is_not_found(shop: Shop, kind: Kind) -> None:
    if kind.made:
        await shop.hand.rows(REMOVED.format(kind.made))
    there = statuses(await asked(shop, kind, kind.number))
    steps = f"DELETE FROM powertools.steps WHERE workflow_id = {kind.number};" if "workflows" in kind.table else ""
    await shop.hand.rows(REMOVED.format(f"{steps} DELETE FROM {kind.table} WHERE id = {kind.number}"))

    gone = await asked(shop, kind, kind.number)
    never = statuses(await asked(shop, kind, NEVER))

    assert [path for path, status in there.items() if status in (404, 410)] == []
    assert {path: status for path, status in statuses(gone).items() if status != 410} == {}
    assert {path: status for path, status in never.items() if status != 404} == {}
    for answer in gone.values():
        assert f"{kind.name} {kind.number}" in answer.text
        assert "Its number has been given, and nothing has it now" in answer.text


async def test_a_delivery_that_its_endpoint_is_past_is_gone(shop: Shop) -> None:
    [first, *_] = await shop.hand.powertools.webhooks.deliveries(1, limit=1)
    path = f"/webhooks/1/replay?delivery={first.cursor}"
    there = await shop.client.get(path)
    await shop.hand.rows(REMOVED.format(f"DELETE FROM powertools.webhook_deliveries WHERE cursor = {first.cursor}"))
    body = {"cursor": str(first.cursor), "reason": "the receiver is back"}

    gone = await shop.client.get(path)
    told = await shop.client.post("/api/v1/webhooks/1/replay", json=body)
    never = await shop.client.get(f"/webhooks/1/replay?delivery={NEVER}")

    assert (there.status_code, gone.status_code, told.status_code, never.status_code) == (200, 410, 410, 404)


async def test_an_executor_that_an_incident_was_about_is_gone(shop: Shop) -> None:
    [row] = await shop.hand.rows("SELECT subject_id FROM powertools.incidents WHERE class = 'dead_executor'")
    await shop.hand.rows(REMOVED.format("DELETE FROM powertools.executors"))

    gone = await shop.client.post("/previews", data={"act": "executor_rescue_all", "target": row["subject_id"]})
    never = await shop.client.post("/previews", data={"act": "executor_rescue_all", "target": "nobody"})

    assert (gone.status_code, never.status_code) == (410, 404)


async def test_an_incident_that_somebody_handled_is_gone_by_its_fingerprint_too(shop: Shop) -> None:
    fingerprint = (await shop.hand.powertools.lifeline.get_incident(1)).fingerprint
    await shop.hand.powertools.lifeline.note_incident(1, actor="ada", note="the node is drained")
    await shop.hand.rows(REMOVED.format("DELETE FROM powertools.incidents"))

    by_number = await shop.client.get("/incidents/1")
    by_fingerprint = await shop.client.get(f"/incidents/by-fingerprint/{fingerprint}")

    assert (by_number.status_code, by_fingerprint.status_code) == (410, 410)
    assert "What the audit still knows" in by_number.text
    assert "What the audit still knows" in by_fingerprint.text


async def test_a_step_that_its_workflow_does_not_have_is_not_found(shop: Shop) -> None:
    answer = await shop.client.post("/previews", data={"act": "step_release", "target": "4/nobody"})

    assert (answer.status_code, "target_not_found" in answer.text) == (404, True)


async def test_an_attempt_that_was_refused_is_no_sign_that_something_was(shop: Shop) -> None:
    await shop.client.post(
        "/acts/workflow_cancel", data={"target": NEVER, "confirm": NEVER, "reason": "it is not there"}
    )
    with contextlib.suppress(NotFoundError):
        await shop.hand.workflows.request_cancel(NEVER, actor="ada", reason="it is not there")

    answer = await shop.client.get(f"/workflows/{NEVER}")

    assert (await shop.hand.powertools.audit.list(target_type="workflow", target_id=NEVER)) != []
    assert answer.status_code == 404


async def test_whoever_may_use_no_sequence_goes_by_the_newest_row(shop: Shop, reading_dsn: str) -> None:
    [newest] = await shop.hand.rows("SELECT max(id) AS id FROM powertools.workflows")
    await shop.hand.rows(REMOVED.format(f"DELETE FROM powertools.workflows WHERE id IN (2, {newest['id']})"))

    async with await connect(reading_dsn) as conn, open_calls(conn) as calls:
        below = await calls.recall(WorkflowNotFoundError(2))
        last = await calls.recall(WorkflowNotFoundError(newest["id"]))

    assert below is not None
    assert last is None


def test_every_error_of_something_with_a_number_says_which() -> None:
    def kinds(base: type[PowertoolsError]) -> set[type[PowertoolsError]]:
        return {base}.union(*(kinds(each) for each in base.__subclasses__()))

    unnamed = {each.__name__ for each in kinds(NotFoundError) if not (issubclass(each, NotFoundError) and each.names)}

    # Queues have names, and come back.
    assert unnamed == {"NotFoundError", "QueueNotFoundError"}
