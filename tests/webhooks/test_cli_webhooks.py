"""The command ``powertools webhooks``: as a process, against a real receiver."""

import asyncio
from typing import Any

import pytest

from tests.cli.test_cli_reference import promised
from tests.support.by_hand import Hand
from tests.support.command import Ended, on_a_terminal, powertools
from tests.support.receiver import receiving
from tests.webhooks.conftest import Post

CHANGES = {"add", "rotate", "disable", "enable", "remove", "replay"}


async def webhooks(post: Post, *arguments: str, secret: str = "") -> Ended:
    if arguments[0] in CHANGES and "--reason" not in arguments:
        arguments += ("--reason", "because of a test")
    return await asyncio.to_thread(powertools, "webhooks", *arguments, dsn=post.hand.dsn, BILLING_SECRET=secret)


async def added(post: Post, url: str, *options: str) -> dict[str, Any]:
    return (await webhooks(post, "add", url, "--json", *options)).json


async def test_add_shows_the_secret_once_and_list_never(post: Post) -> None:
    options = ("--type", "workflow.finished", "--workflow-name", "billing", "--description", "the ledger")
    made = await webhooks(post, "add", "https://example.com/hook", *options)
    listed = await webhooks(post, "list")
    as_json = await webhooks(post, "list", "--json")

    secret = made.out.split()[-1]
    assert made.out.startswith("id      1\nsecret  whsec_")
    assert "it is not shown again" in made.err
    assert secret not in listed.out + as_json.out
    assert listed.out.splitlines() == [
        "STATE    ID  URL",
        "enabled  1   https://example.com/…",
        "    the ledger; workflow.finished of billing",
    ]
    [endpoint] = as_json.json["webhooks"]
    assert (endpoint["id"], endpoint["types"], endpoint["enabled"]) == ("1", ["workflow.finished"], True)


async def test_test_sends_a_ping_and_its_exit_code_says_whether_it_was_taken(post: Post) -> None:
    async with receiving(204, 500) as receiver:
        secret = (await added(post, receiver.url, "--allow-private"))["secret"]
        taken = await webhooks(post, "test", "1")
        refused = await webhooks(post, "test", "1")
        as_json = await webhooks(post, "test", "1", "--json")

    receiver.received[0].verify(secret)
    assert (taken.code, taken.out) == (0, "taken: HTTP 204\n")
    assert (refused.code, refused.out) == (1, "not taken: HTTP 500\n")
    assert as_json.json["answer"] == {"status": 204, "error": None}


async def test_rotate_shows_the_new_secret_and_both_sign(post: Post) -> None:
    async with receiving() as receiver:
        old = (await added(post, receiver.url, "--allow-private"))["secret"]
        new = (await webhooks(post, "rotate", "1", "--keep-old-for", "2h", "--json")).json["secret"]
        await webhooks(post, "test", "1")

    receiver.received[0].verify(old)
    receiver.received[0].verify(new)


async def test_a_secret_of_the_environment_is_never_shown(post: Post) -> None:
    secret = "whsec_" + "c2VjcmV0" * 4
    async with receiving() as receiver:
        made = await webhooks(post, "add", receiver.url, "--allow-private", "--secret-from-env", "BILLING_SECRET")
        missing = await webhooks(post, "test", "1")
        taken = await webhooks(post, "test", "1", secret=secret)

    assert made.out == "id  1\n"
    assert (missing.code, taken.code) == (1, 0)
    assert "BILLING_SECRET" in missing.out
    receiver.received[0].verify(secret)
    assert secret not in taken.out + taken.err


async def test_disable_enable_and_remove(post: Post) -> None:
    await added(post, "https://example.com/hook")

    disabled = await webhooks(post, "disable", "1", "--reason", "they moved")
    listed = await webhooks(post, "list")
    enabled = await webhooks(post, "enable", "1")
    removed = await webhooks(post, "remove", "1")
    again = await webhooks(post, "remove", "1")

    assert disabled.out == "webhook 1 is disabled\n"
    assert "disabled: they moved" in listed.out
    assert enabled.out == "webhook 1 is enabled\n"
    assert removed.out == "webhook 1 is removed\n"
    assert (again.code, again.error.partition(":")[0]) == (3, "webhook 1 does not exist")
    assert "webhooks add URL makes one" in (await webhooks(post, "list")).err


async def test_remove_asks_on_a_terminal(post: Post) -> None:
    await added(post, "https://example.com/hook")

    with on_a_terminal("webhooks", "remove", "1", "--reason", "they left", dsn=post.hand.dsn) as terminal:
        terminal.read_until("remove webhook 1 with its deliveries? [y/N]")
        terminal.type("n\n")
        assert terminal.end() == 5

    assert len(await post.webhooks.list()) == 1


async def test_deliveries_and_replay(post: Post) -> None:
    async with receiving(410) as receiver:
        issued = await post.add(receiver.url)
        ids = await post.finish_workflows(3)
        await post.deliver(issued)
        await post.hand.rows(
            "UPDATE powertools.webhook_deliveries SET state = 'dead', finished_at = now() WHERE attempts = 1"
        )

        page = await webhooks(post, "deliveries", "1", "--limit", "2")
        dead = (await webhooks(post, "deliveries", "1", "--state", "dead", "--json")).json
        replayed = await webhooks(post, "replay", "1")
        one = await webhooks(post, "replay", "1", str(dead["deliveries"][0]["cursor"]), "--json")
        unknown = await webhooks(post, "replay", "1", "4711")

    first, *_ = page.out.splitlines()[1:]
    assert first.split()[0] == "pending"
    assert first.split()[2:5] == ["workflow.finished", f"workflow/{ids[-1]}", "0"]
    assert "more: --before" in page.err
    [delivery] = dead["deliveries"]
    assert (delivery["error"], delivery["status"], dead["next_before"]) == ("HTTP 410", 410, None)
    assert replayed.out == "1 delivery will be sent again\n"
    assert one.json["replayed"] == 1
    assert (unknown.code, unknown.error) == (
        3,
        "webhook 1 has no delivery 4711 (or it was pruned): powertools webhooks deliveries 1 lists them",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "http://example.com/"), "https; allow_private (--allow-private) permits http"),
        (("add", "https://10.0.0.1/"), "not a public address"),
        (("add", "https://example.com/", "--type", "everything"), "'everything' is not one of"),
        (("add", "https://example.com/", "--secret-from-env", "whsec_x="), "no variable's name"),
        (("test", "x"), "is not an id"),
    ],
)
def test_what_cannot_be_used_is_a_usage_error(shared_dsn: str, arguments: tuple[str, ...], told: str) -> None:
    reason = ("--reason", "because of a test") if arguments[0] in CHANGES else ()
    ended = powertools("webhooks", *arguments, *reason, dsn=shared_dsn)

    assert ended.code == 2
    assert told in ended.error


async def test_every_answer_as_json_has_the_keys_of_the_reference(hand: Hand) -> None:
    post = Post(hand)
    calls = [
        ("add", "https://example.com/hook", "--allow-private"),
        ("list",),
        ("deliveries", "1"),
        ("replay", "1"),
        ("test", "1"),
        ("rotate", "1"),
        ("disable", "1", "--reason", "they moved"),
        ("enable", "1"),
        ("remove", "1", "--yes"),
    ]
    answers: dict[tuple[str, ...], Ended] = {}
    async with receiving() as receiver:
        for name, *arguments in calls:
            given = [receiver.url if argument.startswith("https:") else argument for argument in arguments]
            answers[("webhooks", name, *arguments)] = await webhooks(post, name, *given, "--json")

    assert {ended.code for ended in answers.values()} == {0}
    found = {call: ended.json.keys() - {"schema_version"} for call, ended in answers.items()}
    assert found == {call: promised(call) for call in answers}


async def test_the_list_says_how_an_endpoint_fails_and_a_replay_that_waiting_ones_need_none(post: Post) -> None:
    async with receiving(503) as receiver:
        issued = await post.add(receiver.url)
        await post.finish_workflows(1)
        await post.deliver(issued)
        listed = await webhooks(post, "list")
        replayed = await webhooks(post, "replay", "1")

    assert "failing, 1 try, last " in listed.out
    assert ": HTTP 503" in listed.out
    assert replayed.out.startswith("0 deliveries will be sent again\n")
    assert "tried again by themselves" in replayed.err
