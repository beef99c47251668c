"""An endpoint that was disabled for so long that events were removed is told of the end of what it was told is open."""

from typing import Any

import pytest

from oban_powertools.webhooks.formats import Format
from tests.support.receiver import receiving
from tests.support.troubles import TROUBLES, fail, plain, project
from tests.webhooks.conftest import ADA, Post

TROUBLE = TROUBLES["orphaned_jobs"]
SECRETS: dict[Format, dict[str, Any]] = {Format.PAGERDUTY: {"secret": "e93facc04764012d7bfb002500d5d1a6"}}
ALERTS = [Format.PAGERDUTY, Format.ALERTMANAGER, Format.CHAT]


async def lose_all_events(post: Post) -> None:
    await post.powertools.events.head()
    await post.hand.rows("SELECT powertools.prune_events_v1('-1 day', 1000)")


def actions(form: Format, bodies: list[Any]) -> list[str]:
    """What each message asks for: that something is open, that it is over, or only to be read."""
    match form:
        case Format.PAGERDUTY:
            return [body["event_action"] for body in bodies]
        case Format.ALERTMANAGER:
            return ["resolve" if alert["endsAt"] < "2027-06" else "trigger" for body in bodies for alert in body]
        case _:
            return [body["text"].split(":")[0].split()[-1] for body in bodies]


EXPECTED = {
    Format.PAGERDUTY: ["trigger", "resolve"],
    Format.ALERTMANAGER: ["trigger", "resolve"],
    Format.CHAT: ["opened", "resolved", "here"],
}


async def told(post: Post, form: Format, *, ends: bool) -> list[str]:
    """What an endpoint is told of an incident that it was told of before it was disabled."""
    async with receiving() as receiver:
        issued = await post.webhooks.add(receiver.url, format=form, allow_private=True, **SECRETS.get(form, {}), **ADA)
        await TROUBLE.happen(post.hand)
        await project(post.hand)
        await post.deliver(issued)
        await post.webhooks.disable(issued.endpoint.id, **ADA)
        for _ in range(ends):
            await TROUBLE.end(post.hand)
        await fail(post.hand, *[await plain(post.hand) for _ in range(5)])
        await project(post.hand)
        await lose_all_events(post)
        await post.webhooks.enable(issued.endpoint.id, **ADA)
        await post.deliver(issued)
    await post.hand.leave_empty()  # an invariant wants the last event of every step
    return actions(form, [message.json for message in receiver.received])


@pytest.mark.parametrize("form", ALERTS)
async def test_what_was_told_as_open_is_told_when_it_is_over(post: Post, form: Format) -> None:
    assert await told(post, form, ends=True) == EXPECTED[form]


@pytest.mark.parametrize("form", [Format.PAGERDUTY, Format.ALERTMANAGER])
async def test_what_is_still_open_is_not_told_to_be_over(post: Post, form: Format) -> None:
    assert await told(post, form, ends=False) == ["trigger"]


async def test_a_storm_that_ended_meanwhile_is_told_once(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.webhooks.add(
            receiver.url, format="pagerduty", allow_private=True, **SECRETS[Format.PAGERDUTY], **ADA
        )
        for n in range(7):
            await post.hand.rows(
                "INSERT INTO oban_jobs (state, queue, worker, attempt, attempted_at, attempted_by)"
                " VALUES ('executing', 'default', 'app.Bill', 1, timezone('UTC', now()), ARRAY['node', %s])",
                f"p{n}",
            )
        await project(post.hand)
        await post.deliver(issued)
        await post.webhooks.disable(issued.endpoint.id, **ADA)
        await TROUBLE.end(post.hand)
        await project(post.hand)
        await lose_all_events(post)
        await post.webhooks.enable(issued.endpoint.id, **ADA)
        await post.deliver(issued)

    bodies = [message.json for message in receiver.received]
    assert actions(Format.PAGERDUTY, bodies) == ["trigger", "resolve"]
    assert len({body["dedup_key"] for body in bodies}) == 1
    assert await post.hand.one("SELECT storms FROM powertools.webhook_endpoints") == {}
