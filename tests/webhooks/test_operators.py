"""Who may change where events are sent, and what is kept of it: never a secret, never the path of a URL."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oban_powertools.config import Settings
from oban_powertools.errors import NotAuthorizedError, ReasonRequiredError, UnattributedActorError, WebhookNotFoundError
from oban_powertools.operators.authorization import Action, Guard
from oban_powertools.webhooks import EndpointId, Webhooks
from tests.support.by_hand import Hand
from tests.support.command import powertools
from tests.webhooks.conftest import ADA, Post

PATH = "s3cret-canary-path"
URL = f"https://example.com/{PATH}"

CHANGES: dict[str, Callable[..., Awaitable[Any]]] = {
    "add": lambda w, _, **who: w.add(URL, workflow_name="chain", **who),
    "update": lambda w, key, **who: w.update(key, url=f"{URL}/2", types=["workflow.finished"], **who),
    "rotate_secret": lambda w, key, **who: w.rotate_secret(key, **who),
    "disable": lambda w, key, **who: w.disable(key, **who),
    "enable": lambda w, key, **who: w.enable(key, **who),
    "remove": lambda w, key, **who: w.remove(key, **who),
    "replay": lambda w, key, **who: w.replay(key, **who),
}


def guarded(hand: Hand, guard: Guard) -> Webhooks:
    return Webhooks(hand.services(settings=Settings(), guard=guard))


async def added(post: Post) -> EndpointId:
    return (await post.webhooks.add(URL, workflow_name="chain", **ADA)).endpoint.id


async def rows(hand: Hand) -> Any:
    tables = ("webhook_endpoints", "webhook_secrets", "webhook_deliveries")
    return [await hand.rows(f"SELECT * FROM powertools.{table} ORDER BY 1, 2") for table in tables]


@pytest.mark.parametrize("command", CHANGES)
async def test_every_change_is_recorded_with_who_why_and_both_states(post: Post, command: str) -> None:
    key = await added(post)

    await CHANGES[command](post.webhooks, key, actor={"id": "ada"}, reason=" they asked ", source="web")

    kept = (await post.powertools.audit.list())[0]
    assert (kept.actor_id, kept.action, kept.outcome, kept.reason) == (
        "ada",
        "manage_webhooks",
        "executed",
        "they asked",
    )
    assert (kept.target_type, kept.surface, kept.details["command"]) == ("webhook", "web", command)
    assert kept.target_id == str(key + 1 if command == "add" else key)
    assert (kept.before is None, kept.after is None) == (command == "add", command == "remove")


async def test_the_audit_holds_no_secret_and_no_path_of_a_url(post: Post) -> None:
    key = await added(post)
    for command, change in CHANGES.items():
        if command != "remove":
            await change(post.webhooks, key, **ADA)

    kept = await post.powertools.audit.list()
    secrets = await post.hand.rows("SELECT secret FROM powertools.webhook_secrets")
    written = str(await post.hand.rows("SELECT * FROM powertools.audit"))
    assert len(secrets) == 3
    assert [row for row in secrets if row["secret"] in written] == []
    assert PATH not in written
    updated = next(record for record in kept if record.details["command"] == "update")
    assert updated.before["url"] == updated.after["url"] == "https://example.com"
    assert updated.before["url_digest"] != updated.after["url_digest"]
    assert (updated.before["types"], updated.after["types"]) == ([], ["workflow.finished"])


@pytest.mark.parametrize("command", CHANGES)
async def test_what_the_host_does_not_allow_changes_nothing_and_is_recorded(post: Post, command: str) -> None:
    key = await added(post)
    before, asked = await rows(post.hand), list[Any]()

    def never(*about: Any) -> bool:
        asked.append(about)
        return False

    with pytest.raises(NotAuthorizedError):
        await CHANGES[command](guarded(post.hand, Guard(never)), key, **ADA)

    [(actor, action, target)] = asked
    assert (actor.id, action, target.workflow_name) == ("ada", Action.MANAGE_WEBHOOKS, "chain")
    assert target.id == ("https://example.com" if command == "add" else str(key))
    assert await rows(post.hand) == before
    kept = (await post.powertools.audit.list())[0]
    assert (kept.outcome, kept.target_id, kept.details["code"]) == ("refused", target.id, "not_authorized")


@pytest.mark.parametrize("command", CHANGES)
async def test_without_an_actor_or_a_reason_nothing_is_changed(post: Post, command: str) -> None:
    key = await added(post)
    before = await rows(post.hand)

    with pytest.raises(UnattributedActorError):
        await CHANGES[command](post.webhooks, key, actor=" ", reason="because of a test")
    with pytest.raises(ReasonRequiredError):
        await CHANGES[command](post.webhooks, key, actor="ada", reason=" ")

    assert await rows(post.hand) == before
    kept = (await post.powertools.audit.list())[:2]
    assert [(record.outcome, record.details["code"]) for record in kept] == [
        ("refused", "reason_required"),
        ("refused", "unattributed_actor"),
    ]


@pytest.mark.parametrize("command", [command for command in CHANGES if command != "add"])
async def test_nobody_learns_which_endpoints_exist_without_being_allowed(post: Post, command: str) -> None:
    unknown = EndpointId(4711)

    with pytest.raises(NotAuthorizedError):
        await CHANGES[command](guarded(post.hand, Guard(None)), unknown, **ADA)
    with pytest.raises(WebhookNotFoundError):
        await CHANGES[command](post.webhooks, unknown, **ADA)

    kept = await post.powertools.audit.list()
    assert [record.details["code"] for record in kept] == ["webhook_not_found", "not_authorized"]


async def test_a_replay_that_finds_nothing_is_recorded_and_changes_nothing(post: Post) -> None:
    issued = await post.add(URL)

    ended = powertools("webhooks", "replay", "1", "7", "--reason", "they lost it", "--actor", "ada", dsn=post.hand.dsn)

    assert ended.code == 3
    kept = (await post.powertools.audit.list())[0]
    assert (kept.actor_id, kept.surface, kept.outcome) == ("ada", "cli", "refused")
    assert (kept.target_id, kept.details["code"]) == (str(issued.endpoint.id), "webhook_delivery_not_found")


async def test_the_command_line_asks_the_policy_it_is_given(post: Post, tmp_path: Any) -> None:
    (tmp_path / "policies.py").write_text("def nobody(*_):\n    return False\n")
    options = ("--reason", "because of a test", "--authorize", "policies:nobody")

    ended = powertools("webhooks", "add", "https://example.com/", *options, dsn=post.hand.dsn, cwd=tmp_path)

    assert ended.code == 4
    assert await post.webhooks.list() == []
