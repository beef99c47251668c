"""From the log to deliveries: each event once for each endpoint that wants it, whatever goes wrong."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from oban_powertools import Settings, Workflow
from oban_powertools.errors import (
    CursorExpiredError,
    InvalidSettingError,
    WebhookDeliveryNotFoundError,
    WebhookNotFoundError,
)
from oban_powertools.events.types import Cursor
from oban_powertools.webhooks import EndpointId, Webhooks, dispatch
from oban_powertools.webhooks.cloudevents import missed_message
from oban_powertools.webhooks.delivering import deliver_due
from tests.support.by_hand import step
from tests.support.receiver import receiving
from tests.webhooks.conftest import ADA, Post

URL = "https://example.com/hook"
UNKNOWN = EndpointId(4711)


async def test_every_event_is_written_once_for_each_endpoint_in_the_order_of_the_log(post: Post) -> None:
    both = [await post.add(URL, types=None) for _ in range(2)]
    await post.finish_workflows(3)
    events = await post.powertools.events.read(since=Cursor(0))

    assert await post.webhooks.dispatch() == 2 * len(events)
    assert await post.webhooks.dispatch() == 0

    for issued in both:
        deliveries = await post.deliveries(issued)
        assert [delivery.cursor for delivery in deliveries] == [event.cursor for event in events]
        assert [delivery.message["data"] for delivery in deliveries] == [event.to_dict() for event in events]
        assert (await post.endpoint(issued)).cursor == events[-1].cursor


async def test_an_endpoint_gets_only_the_types_and_workflows_it_asked_for(post: Post) -> None:
    completed = await post.add(URL, types=["workflow.step.completed"])
    billing = await post.add(URL, types=None, workflow_name="billing")
    for name in ("billing", "chain"):
        workflow = Workflow(name, context={"label": "billing"})
        workflow.add("s0", step())
        await post.hand.run(await post.hand.insert(workflow), {"s0": None})
    await post.webhooks.dispatch()

    kinds = [delivery.message["type"] for delivery in await post.deliveries(completed)]
    subjects = {delivery.message["subject"] for delivery in await post.deliveries(billing)}
    assert kinds == ["oban_powertools.workflow.step.completed"] * 2
    assert subjects == {"workflow/1", "workflow/1/step/s0"}


async def test_an_endpoint_begins_with_the_next_event_or_where_it_is_told(post: Post) -> None:
    await post.finish_workflows(2)
    now = await post.add(URL)
    start = await post.add(URL, since=Cursor(0))
    await post.finish_workflows(1)
    await post.webhooks.dispatch()

    assert [len(await post.deliveries(issued)) for issued in (now, start)] == [1, 3]
    with pytest.raises(CursorExpiredError):
        await post.add(URL, since=Cursor(10_000))


async def test_more_events_than_a_page_are_all_written(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PAGE", 3)
    issued = await post.add(URL, types=None)
    await post.finish_workflows(5)
    events = await post.powertools.events.read(since=Cursor(0))

    assert await post.webhooks.dispatch() == len(events)
    assert [delivery.cursor for delivery in await post.deliveries(issued)] == [event.cursor for event in events]


async def test_nodes_that_dispatch_at_once_write_everything_once(post: Post) -> None:
    issued = await post.add(URL, types=None)
    nodes = [Webhooks(replace(post.powertools._services, settings=Settings())) for _ in range(5)]
    for _ in range(5):
        await post.finish_workflows(1)
        await asyncio.gather(*[node.dispatch() for node in nodes])
    await post.webhooks.dispatch()

    events = await post.powertools.events.read(since=Cursor(0))
    assert [delivery.cursor for delivery in await post.deliveries(issued)] == [event.cursor for event in events]
    assert await post.hand.one("SELECT count(*) FROM oban_jobs WHERE queue = 'powertools_webhooks'") == 1


async def test_a_fault_while_writing_moves_no_cursor_and_loses_nothing(post: Post) -> None:
    issued = await post.add(URL)
    await post.finish_workflows(2)
    broken = "ALTER TABLE powertools.webhook_deliveries ADD CONSTRAINT broken CHECK (false) NOT VALID"
    await post.hand.rows(broken)
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            await post.webhooks.dispatch()
        await post.webhooks.sweep()
        stuck = await post.endpoint(issued)
    finally:
        await post.hand.rows("ALTER TABLE powertools.webhook_deliveries DROP CONSTRAINT broken")
    await post.webhooks.dispatch()

    assert stuck.cursor == issued.endpoint.cursor
    assert await post.states(issued) == ["pending", "pending"]


async def test_an_endpoint_that_retention_has_overtaken_is_told_and_goes_on_at_the_oldest_event(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(2)
        gone = await post.powertools.events.head()
        await post.hand.rows("SELECT powertools.prune_events_v1('-1 day', 1000)")
        await post.finish_workflows(1)

        await post.deliver(issued)

    missed, finished = receiver.received
    endpoint = await post.endpoint(issued)
    missed.verify(issued.secret or "")
    assert (missed.kind, finished.kind) == ("events.missed", "workflow.finished")
    assert missed.event.data == {"type": "events_missed", "after_cursor": "0", "up_to_cursor": str(gone)}
    assert (endpoint.missed, endpoint.cursor > gone) == (gone, True)
    assert f"missed up to {gone} events" in caplog.text
    await post.hand.leave_empty()  # an invariant wants the last event of every step


async def test_events_wait_in_the_log_while_an_endpoint_has_too_many_deliveries(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "ROOM", 2)
    issued = await post.add(URL)
    await post.finish_workflows(3)
    assert await post.webhooks.dispatch() == 3
    await post.finish_workflows(1)

    assert await post.webhooks.dispatch() == 0
    await post.hand.rows("UPDATE powertools.webhook_deliveries SET state = 'delivered', finished_at = now()")
    assert await post.webhooks.dispatch() == 1
    assert len(await post.deliveries(issued)) == 4


async def test_a_disabled_endpoint_gets_nothing_and_goes_on_where_it_stopped(post: Post) -> None:
    issued = await post.add(URL)
    disabled = await post.webhooks.disable(issued.endpoint.id, actor="ada", reason="they moved house")
    await post.finish_workflows(2)
    assert await post.webhooks.dispatch() == 0

    enabled = await post.webhooks.enable(issued.endpoint.id, **ADA)

    assert await post.webhooks.dispatch() == 2
    assert (disabled.enabled, disabled.disabled_reason) == (False, "they moved house")
    assert (enabled.enabled, enabled.disabled_reason) == (True, None)


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        ("DELETE FROM oban_jobs", True),
        ("UPDATE oban_jobs SET state = 'cancelled'", True),
        ("UPDATE oban_jobs SET state = 'discarded'", True),
        ("UPDATE oban_jobs SET state = 'completed'", True),
        ("UPDATE oban_jobs SET state = 'executing', attempted_at = timezone('UTC', now()) - interval '61 s'", True),
        ("UPDATE oban_jobs SET state = 'executing', attempted_at = timezone('UTC', now()) - interval '50 s'", False),
        ("UPDATE oban_jobs SET state = 'scheduled', worker = 'stranger', args = '{}', tags = '{}'", True),
        ("UPDATE oban_jobs SET state = 'retryable'", False),
        ("UPDATE oban_jobs SET state = 'scheduled'", False),
    ],
)
async def test_a_job_that_is_lost_is_replaced_and_one_that_is_not_is_left(
    post: Post, change: str, *, replaced: bool
) -> None:
    issued = await post.add(URL)
    await post.finish_workflows(1)
    await post.webhooks.dispatch()
    job = "SELECT job_id FROM powertools.webhook_endpoints"
    before = await post.hand.one(job)
    await post.hand.rows(f"{change} WHERE queue = 'powertools_webhooks'")

    await post.webhooks.dispatch()

    assert (await post.hand.one(job) != before) is replaced
    assert await post.states(issued) == ["pending"]


async def test_the_job_names_the_endpoint_and_nothing_else(post: Post) -> None:
    issued = await post.add(URL)
    await post.finish_workflows(1)
    await post.webhooks.dispatch()

    [job] = await post.hand.rows("SELECT worker, args, meta, errors FROM oban_jobs WHERE queue = 'powertools_webhooks'")
    assert job == {
        "worker": "oban_powertools.webhooks.worker.DeliverWebhooks",
        "args": {"endpoint_id": issued.endpoint.id},
        "meta": {},
        "errors": [],
    }


async def test_the_queue_and_the_source_are_settings(post: Post) -> None:
    settings = Settings(webhook_queue="letters", webhook_source="https://shop.example/orders")
    webhooks = Webhooks(replace(post.powertools._services, settings=settings))
    issued = await post.add(URL)
    await post.finish_workflows(1)
    await webhooks.dispatch()

    [delivery] = await post.deliveries(issued)
    assert delivery.message["source"] == "https://shop.example/orders"
    assert await post.hand.one("SELECT count(*) FROM oban_jobs WHERE queue = 'letters'") == 1


async def test_old_deliveries_are_removed_delivered_ones_first(post: Post) -> None:
    issued = await post.add(URL)
    cursor = 0
    ages = {"delivered": (2, 4), "dead": (4, 31), "pending": (None, None)}
    for state, days in ages.items():
        for age in days:
            cursor += 1
            finished = await post.hand.one("SELECT now() - make_interval(days => %s)", age) if age else None
            await post.write_delivery(issued, Cursor(cursor), state=state, finished_at=finished)

    await post.webhooks.sweep()

    assert [(d.state.value, d.cursor) for d in await post.deliveries(issued)] == [
        ("delivered", 1),
        ("dead", 3),
        ("pending", 5),
        ("pending", 6),
    ]


async def test_an_endpoint_can_be_changed_and_removed(post: Post) -> None:
    issued = await post.add(URL, description="old", workflow_name="billing")
    key = issued.endpoint.id

    changed = await post.webhooks.update(
        key, url="https://example.org/", description="", types=["workflow.step.started"], any_workflow=True, **ADA
    )
    same = await post.webhooks.update(key, **ADA)
    with pytest.raises(InvalidSettingError):
        await post.webhooks.update(key, url="http://example.org/", allow_private=False, **ADA)
    kept = await post.webhooks.get(key)
    await post.webhooks.remove(key, **ADA)

    assert (changed.url, changed.description) == ("https://example.org/", "")
    assert (changed.types, changed.workflow_name) == (("workflow.step.started",), None)
    assert changed.allow_private is True and kept == same
    assert await post.webhooks.list() == []
    assert await post.hand.one("SELECT count(*) FROM powertools.webhook_secrets") == 0


async def test_what_does_not_exist_says_so(post: Post) -> None:
    calls = post.webhooks
    for call in (
        calls.get(UNKNOWN),
        calls.update(UNKNOWN, **ADA),
        calls.rotate_secret(UNKNOWN, **ADA),
        calls.test(UNKNOWN),
        calls.enable(UNKNOWN, **ADA),
        calls.disable(UNKNOWN, **ADA),
        calls.remove(UNKNOWN, **ADA),
        calls.deliveries(UNKNOWN),
        calls.replay(UNKNOWN, **ADA),
    ):
        with pytest.raises(WebhookNotFoundError, match="webhook 4711 does not exist"):
            await call
    issued = await post.add(URL)
    with pytest.raises(WebhookDeliveryNotFoundError, match="has no delivery 7"):
        await calls.replay(issued.endpoint.id, Cursor(7), **ADA)


@pytest.mark.parametrize("types", [["workflow.started"], "workflow.finished", ["*"]])
async def test_an_unknown_type_is_refused_with_those_there_are(post: Post, types: object) -> None:
    with pytest.raises(InvalidSettingError, match=r"workflow\.finished, workflow\.step\.released"):
        await post.add(URL, types=types)


async def test_deliveries_are_listed_in_pages_and_by_state(post: Post) -> None:
    issued = await post.add(URL)
    for cursor in range(1, 6):
        await post.write_delivery(issued, Cursor(cursor))
    read = post.webhooks.deliveries

    first = await read(issued.endpoint.id, limit=2)
    second = await read(issued.endpoint.id, before=first[-1].cursor, limit=2)

    assert [delivery.cursor for delivery in (*first, *second)] == [5, 4, 3, 2]
    with pytest.raises(ValueError, match="limit"):
        await read(issued.endpoint.id, limit=1001)
    assert timedelta(0) <= first[0].due_at - first[0].queued_at < timedelta(seconds=1)


async def test_a_role_with_the_documented_rights_dispatches_delivers_and_prunes(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(1)
        await post.write_delivery(issued, Cursor(10_000), state="dead", finished_at="2020-01-01")
        for grant in (
            "CREATE ROLE postman LOGIN",
            "GRANT USAGE ON SCHEMA public, powertools TO postman",
            "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA powertools TO postman",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON oban_jobs TO postman",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, powertools TO postman",
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA powertools TO postman",
        ):
            await post.hand.rows(grant)
        await post.powertools.events.head()
        try:
            async with await psycopg.AsyncConnection.connect(post.hand.dsn, autocommit=True) as conn:
                await conn.execute("SET ROLE postman")
                session = post.powertools._services.session_on(conn)
                node = Webhooks(
                    replace(post.powertools._services, connect=lambda: nullcontext(session), settings=Settings())
                )
                await node.sweep()
                job_id = await post.hand.one("SELECT job_id FROM powertools.webhook_endpoints")
                again = await deliver_due(lambda: nullcontext(session), issued.endpoint.id, job_id, lambda: False)
        finally:
            await post.hand.rows("DROP OWNED BY postman; DROP ROLE postman")

    assert again is None
    assert await post.states(issued) == ["delivered"]


def test_a_message_of_missed_events_has_its_cursors_as_text() -> None:
    message = missed_message("/here", after=Cursor(1), up_to=Cursor(9))

    assert message["data"] == {"type": "events_missed", "after_cursor": "1", "up_to_cursor": "9"}


async def test_outcomes_are_counted_by_endpoint_and_hour(post: Post) -> None:
    busy, quiet = await post.add(URL), await post.add(URL)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    ended = [("delivered", 0), ("dead", 0), ("delivered", 2), ("delivered", 2), ("dead", 3)]
    for cursor, (state, ago) in enumerate(ended, start=1):
        await post.write_delivery(busy, Cursor(cursor), state=state, finished_at=hour - timedelta(hours=ago))
    await post.write_delivery(quiet, Cursor(1))

    outcomes = await post.webhooks.outcomes(hours=3)

    told = [
        (each.endpoint_id, (hour - each.began_at) / timedelta(hours=1), each.delivered, each.dead) for each in outcomes
    ]
    assert told == [(busy.endpoint.id, 2, 2, 0), (busy.endpoint.id, 0, 1, 1)]
