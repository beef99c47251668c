"""What a receiver gets, and what becomes of a delivery: against a real server, verified by independent packages."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from oban_powertools.events.types import Cursor
from oban_powertools.webhooks import sending
from oban_powertools.webhooks.schedule import FEWEST_ATTEMPTS, GIVE_UP_AFTER, backoff, next_try
from oban_powertools.wire import rfc3339
from tests.support.ledger import eventually
from tests.support.receiver import Reply, receiving
from tests.webhooks.conftest import ADA, Post


async def test_a_message_is_a_signed_cloud_event_without_args_results_and_context(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.add(receiver.url, types=None)
        [workflow_id] = await post.finish_workflows(result={"iban": "canary"}, context={"token": "canary"})
        assert await post.deliver(issued) is None

    for message in receiver.received:
        message.verify(issued.secret or "")
        assert b"canary" not in message.body
        assert message.id == message.event["id"]
        assert (message.event["specversion"], message.event["source"]) == ("1.0", "/oban-powertools")
    last = receiver.received[-1]
    step, whole = f"workflow/{workflow_id}/step/s0", f"workflow/{workflow_id}"
    changes = ["workflow.step.released", "workflow.step.started", "workflow.step.completed"]
    assert receiver.kinds == [*changes, "workflow.finished"]
    assert [message.subject for message in receiver.received] == [step] * 3 + [whole]
    [*_, finished] = await post.powertools.events.read(since=Cursor(0))
    assert last.event.data == finished.to_dict()
    assert last.event["time"] == rfc3339(finished.timestamp)
    assert last.headers["content-type"].startswith("application/cloudevents+json")


async def test_a_failed_delivery_is_tried_again_with_the_same_id_and_holds_back_those_behind_it(post: Post) -> None:
    async with receiving(500, 302, 204) as receiver:
        issued = await post.add(receiver.url)
        ids = await post.finish_workflows(3)

        first = await post.deliver(issued)
        again_early = await post.run_job(issued)
        await post.pass_time(timedelta(seconds=10))
        second = await post.run_job(issued)
        await post.pass_time(timedelta(seconds=20))
        last = await post.run_job(issued)

    assert timedelta(seconds=3.5) < (first or timedelta()) < timedelta(seconds=6.1)
    assert again_early is not None and len(receiver.received) == 5
    assert timedelta(seconds=7.5) < (second or timedelta()) < timedelta(seconds=12.1)
    assert last is None
    assert len(set(receiver.ids[:3])) == 1 and len(set(receiver.ids)) == 3
    assert [message.subject for message in receiver.received] == [f"workflow/{ids[n]}" for n in (0, 0, 0, 1, 2)]
    first_delivery, *_ = await post.deliveries(issued)
    assert (first_delivery.state, first_delivery.attempts, first_delivery.error) == ("delivered", 3, None)


async def test_a_slow_delivery_holds_back_those_behind_it_and_a_second_deliverer(post: Post) -> None:
    answer = asyncio.Event()
    async with receiving(Reply(wait_for=answer)) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(3)
        await post.webhooks.dispatch()
        slow = asyncio.create_task(post.run_job(issued))
        await eventually(lambda: asyncio.sleep(0, receiver.received))

        second = await post.run_job(issued)
        answer.set()

        assert await slow is None
    assert timedelta(seconds=25) < (second or timedelta()) <= timedelta(seconds=30)
    assert (receiver.most_under_way, len(receiver.received)) == (1, 3)


@pytest.mark.parametrize(("status", "kept"), [(429, True), (503, True), (500, False)])
async def test_retry_after_is_respected_of_a_receiver_that_is_busy(post: Post, status: int, kept: bool) -> None:
    async with receiving(Reply(status, {"retry-after": "600"})) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows()

        wait = await post.deliver(issued)

    assert wait is not None
    assert (wait > timedelta(seconds=590)) is kept


async def test_retry_after_may_be_a_date(post: Post) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    async with receiving(Reply(503, {"retry-after": at})) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows()

        wait = await post.deliver(issued)

    assert timedelta(seconds=280) < (wait or timedelta()) <= timedelta(seconds=300)


async def test_410_disables_the_endpoint_and_enabling_it_goes_on_where_it_stopped(post: Post) -> None:
    async with receiving(410) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(2)
        assert await post.deliver(issued) is None
        disabled = await post.endpoint(issued)
        await post.end_job(issued)
        await post.finish_workflows(1)
        assert await post.webhooks.dispatch() == 0

        await post.webhooks.enable(issued.endpoint.id, **ADA)
        assert await post.deliver(issued) is None

    assert (disabled.enabled, disabled.pending) == (False, 2)
    assert "410" in (disabled.disabled_reason or "")
    assert len(receiver.received) == 4 and receiver.ids[0] == receiver.ids[1]
    assert await post.states(issued) == ["delivered"] * 3


async def test_what_a_410_disables_is_audited_as_our_own_act(post: Post) -> None:
    async with receiving(410) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(2)
        await post.deliver(issued)
        await post.run_job(issued)

    [kept] = await post.powertools.audit.list(actor="powertools")
    assert (kept.action, kept.target_type, kept.target_id) == ("webhook_disable", "webhook", str(issued.endpoint.id))
    assert (kept.before, kept.after) == ({"enabled": True}, {"enabled": False})
    assert (kept.reason, kept.details["status"]) == ((await post.endpoint(issued)).disabled_reason, 410)


async def test_redirects_are_not_followed(post: Post) -> None:
    async with receiving() as elsewhere, receiving(Reply(307, {"location": elsewhere.url})) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows()
        await post.deliver(issued)

    [delivery] = await post.deliveries(issued)
    assert elsewhere.received == []
    assert (delivery.status, delivery.error) == (307, "HTTP 307: redirects are not followed, update the URL")


async def test_a_delivery_is_given_up_after_24_hours_and_those_behind_it_get_their_turn(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving(*[500] * FEWEST_ATTEMPTS) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(2)
        await post.webhooks.dispatch()
        for _ in range(FEWEST_ATTEMPTS - 1):
            assert await post.run_job(issued) is not None
            await post.pass_time(timedelta(hours=12))

        assert await post.run_job(issued) is None
        assert await post.states(issued) == ["dead", "delivered"]
        assert "given up after 5 attempts: HTTP 500" in caplog.text
        assert await post.webhooks.replay(issued.endpoint.id, **ADA) == 1
        assert await post.deliver(issued) is None

    assert await post.states(issued) == ["delivered", "delivered"]
    assert receiver.ids[-1] == receiver.ids[0]


def test_what_waited_long_is_not_given_up_for_one_bad_moment() -> None:
    assert next_try(FEWEST_ATTEMPTS - 1, GIVE_UP_AFTER * 3, None) is not None
    assert next_try(FEWEST_ATTEMPTS, GIVE_UP_AFTER, None) is None
    assert next_try(1000, GIVE_UP_AFTER - timedelta(seconds=1), None) is not None


def test_pauses_double_from_5_seconds_to_2_hours_with_jitter() -> None:
    pauses = [[backoff(attempt).total_seconds() for _ in range(50)] for attempt in range(1, 30)]

    assert all(max(earlier) < 1.5 * 2 * min(later) for earlier, later in pairwise(pauses))
    assert 4 <= min(pauses[0]) < max(pauses[0]) <= 6
    assert 0.8 * 7200 <= min(pauses[-1]) < max(pauses[-1]) <= 1.2 * 7200
    assert 20 < sum(1 for total in _running(pauses) if total < 86_400) < 30


def _running(pauses: list[list[float]]) -> list[float]:
    totals = [0.0]
    for pause in pauses:
        totals.append(totals[-1] + sum(pause) / len(pause))
    return totals


async def test_no_answer_and_no_server_are_failures_that_say_so(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ANSWER_WITHIN", 0.2)
    async with receiving(Reply(wait_for=asyncio.Event())) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows()
        await post.deliver(issued)
        [silent] = await post.deliveries(issued)
    await post.pass_time(timedelta(minutes=1))
    await post.run_job(issued)
    [refused] = await post.deliveries(issued)

    assert (silent.state, silent.status, silent.error) == ("pending", None, "no answer within 0.2 s")
    assert (refused.state, refused.attempts) == ("pending", 2)
    assert "ConnectError" in (refused.error or "")


async def test_a_huge_answer_is_not_read(post: Post) -> None:
    async with receiving(Reply(500, body=b"x" * 50_000_000)) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows()
        await post.deliver(issued)

    [delivery] = await post.deliveries(issued)
    assert (delivery.status, delivery.error) == (500, "HTTP 500")


async def test_a_delivery_that_was_taken_over_is_not_written_down_by_who_lost_it(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    answer = asyncio.Event()
    async with receiving(Reply(500, wait_for=answer)) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows()
        await post.webhooks.dispatch()
        lost = asyncio.create_task(post.run_job(issued))
        await eventually(lambda: asyncio.sleep(0, receiver.received))
        await post.pass_time(timedelta(seconds=31))

        assert await post.run_job(issued) is None
        answer.set()
        await lost

    assert receiver.ids[0] == receiver.ids[1]
    assert await post.states(issued) == ["delivered"]
    assert "was taken over by another job" in caplog.text


async def test_a_job_that_the_endpoint_does_not_name_delivers_nothing(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows()
        await post.webhooks.dispatch()

        assert await post.run_job_as(issued, 4711) is None

    assert receiver.received == []


async def test_one_delivery_can_be_replayed_and_what_waits_is_tried_at_once(post: Post) -> None:
    async with receiving(204, 500) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(2)
        assert await post.deliver(issued) is not None
        await post.end_job(issued, "scheduled")
        first, _ = await post.deliveries(issued)

        assert await post.webhooks.replay(issued.endpoint.id, first.cursor, **ADA) == 1
        assert await post.run_job(issued) is None

    due = "SELECT scheduled_at <= timezone('UTC', now()) FROM oban_jobs WHERE state = 'scheduled'"
    assert await post.hand.one(due) is True
    assert [receiver.ids.index(found) for found in receiver.ids] == [0, 1, 0, 1]


async def test_a_ping_is_sent_at_once_and_signed(post: Post) -> None:
    async with receiving(204, 418) as receiver:
        issued = await post.add(receiver.url)

        taken = await post.webhooks.test(issued.endpoint.id)
        failed = await post.webhooks.test(issued.endpoint.id)

    receiver.received[0].verify(issued.secret or "")
    assert receiver.kinds == ["ping", "ping"]
    assert (taken.status, taken.error, failed.status, failed.error) == (204, None, 418, "HTTP 418")
    assert await post.deliveries(issued) == []


async def test_a_step_that_fails_tells_its_error_in_one_line(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.add(receiver.url, types=["workflow.step.discarded"])
        workflow_id = (await post.finish_workflows(result=ValueError("first\nlast")))[0]
        await post.deliver(issued)

    [message] = receiver.received
    assert message.event.data["error"] == "last" or "last" in message.event.data["error"]
    assert "\n" not in message.event.data["error"]
    assert message.subject == f"workflow/{workflow_id}/step/s0"


async def test_a_slow_rest_of_an_answer_does_not_undo_its_status(post: Post) -> None:
    async with receiving(Reply(200, drips=True), 204, 204) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(3)
        assert await post.deliver(issued) is None

    assert await post.states(issued) == ["delivered"] * 3
    assert len(set(receiver.ids)) == len(receiver.ids) == 3


async def test_deliveries_of_one_endpoint_share_a_connection(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(5)
        await post.deliver(issued)

    assert len({message.client for message in receiver.received}) == 1
