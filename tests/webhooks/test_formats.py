"""Formats beside CloudEvents: each as its receiver has published it, with its secret, and quiet."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oban_powertools import IncidentUpdated
from oban_powertools.errors import InvalidArgumentError, InvalidSettingError
from oban_powertools.webhooks.formats import FORMATS, Format
from tests.support.by_hand import Hand
from tests.support.command import powertools
from tests.support.executing import beat
from tests.support.published import ALERTMANAGER, CHAT, PAGERDUTY, faults
from tests.support.receiver import receiving
from tests.support.troubles import TROUBLES, project
from tests.webhooks.conftest import ADA, Post

KEY = "e93facc04764012d7bfb002500d5d1a6"
CONSOLE = "https://console.example/powertools"
SCHEMAS = {Format.CHAT: CHAT, Format.PAGERDUTY: PAGERDUTY, Format.ALERTMANAGER: ALERTMANAGER}
SECRETS: dict[Format, dict[str, Any]] = {Format.PAGERDUTY: {"secret": KEY}}
TROUBLE = TROUBLES["orphaned_jobs"]


async def told(post: Post, form: Format, **options: Any) -> list[Any]:
    """The bodies that an endpoint gets of an incident from its beginning to its end."""
    async with receiving() as receiver:
        issued = await post.webhooks.add(
            receiver.url,
            format=form,
            allow_private=True,
            console_url=CONSOLE,
            **SECRETS.get(form, {}),
            **ADA,
            **options,
        )
        await TROUBLE.happen(post.hand)
        [incident] = (await project(post.hand)).values()
        await post.powertools.lifeline.acknowledge_incident(incident.id, actor="ada")
        await TROUBLE.end(post.hand)
        await project(post.hand)
        await post.deliver(issued)
    return [message.json for message in receiver.received]


@pytest.mark.parametrize("form", SCHEMAS)
async def test_every_message_is_as_its_receiver_has_published_it(post: Post, form: Format) -> None:
    bodies = await told(post, form)

    assert len(bodies) == (2 if form is Format.ALERTMANAGER else 3)
    assert [fault for body in bodies for fault in faults(body, SCHEMAS[form])] == []


async def test_a_chat_gets_a_text_with_a_link(post: Post) -> None:
    opened, acknowledged, resolved = await told(post, Format.CHAT)

    [incident] = await post.powertools.lifeline.list_incidents(state="resolved")
    assert opened == {"text": f"Incident {incident.id} opened: {incident.title}\n{CONSOLE}/incidents/{incident.id}"}
    assert acknowledged["text"].startswith(f"Incident {incident.id} acknowledged by ada: ")
    assert ", because none of the jobs is executing any more" in resolved["text"]


async def test_pagerduty_gets_one_key_from_the_trigger_to_the_end(post: Post) -> None:
    opened, acknowledged, resolved = await told(post, Format.PAGERDUTY)

    assert [body["event_action"] for body in (opened, acknowledged, resolved)] == ["trigger", "acknowledge", "resolve"]
    assert {body["dedup_key"] for body in (opened, acknowledged, resolved)} == {
        f"/oban-powertools:{TROUBLE.fingerprint}"
    }
    assert {body["routing_key"] for body in (opened, acknowledged, resolved)} == {KEY}
    assert opened["payload"]["class"] == "orphaned_jobs"
    assert opened["links"] == [{"href": opened["client_url"], "text": "in the console"}]


async def test_alertmanager_gets_the_same_labels_from_the_beginning_to_the_end(post: Post) -> None:
    [[opened], [resolved]] = await told(post, Format.ALERTMANAGER)

    assert opened["labels"] == resolved["labels"]
    assert opened["labels"]["alertname"] == "PowertoolsIncident"
    assert datetime.fromisoformat(opened["endsAt"]) > datetime.now(UTC) + timedelta(days=300)
    assert datetime.fromisoformat(resolved["endsAt"]) < datetime.now(UTC)


@pytest.mark.parametrize("form", SCHEMAS)
async def test_a_storm_of_one_look_is_one_message_and_its_end_another(post: Post, form: Format) -> None:
    at_once = timedelta(milliseconds=1)
    async with receiving() as receiver:
        issued = await post.webhooks.add(receiver.url, format=form, allow_private=True, **SECRETS.get(form, {}), **ADA)
        names = [f"p{n}" for n in range(1000)]
        await beat(post.hand, *names)
        await project(post.hand, executor_late_after=at_once, executor_missing_after=timedelta(hours=1))
        await post.deliver(issued)
        await beat(post.hand, *names)
        await project(post.hand)
        await post.deliver(issued)

    assert len(receiver.received) == 2
    assert [fault for message in receiver.received for fault in faults(message.json, SCHEMAS[form])] == []
    assert "1000 incidents of class executor_late opened" in receiver.received[0].body.decode()


async def test_nothing_is_told_of_a_muted_incident(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.webhooks.add(receiver.url, format="chat", allow_private=True, **ADA)
        await TROUBLE.happen(post.hand)
        [incident] = (await project(post.hand)).values()
        await post.deliver(issued)
        until = datetime.now(UTC) + timedelta(hours=1)
        await post.powertools.lifeline.mute_incident(incident.id, until=until, actor="ada", reason="wait for it")
        await post.powertools.lifeline.acknowledge_incident(incident.id, actor="ada")
        await TROUBLE.end(post.hand)
        await project(post.hand)
        await post.deliver(issued)

    assert len(receiver.received) == 1


async def test_a_chat_is_told_of_workflows_and_repairs_where_it_asks_for_them(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.webhooks.add(
            receiver.url, format="chat", types=["workflow.finished"], allow_private=True, **ADA
        )
        [workflow_id] = await post.finish_workflows()
        await post.deliver(issued)
        await post.finish_workflows(10)
        await post.deliver(issued)

    one, many = [message.json["text"] for message in receiver.received]
    assert one == f"Workflow {workflow_id} chain finished: completed"
    assert many.startswith("10 times workflow.finished, lastly Workflow ")


def test_what_chats_read_as_a_command_is_escaped() -> None:
    from oban_powertools.webhooks.rendering import _escaped

    assert _escaped("<!channel> a & b") == "&lt;!channel&gt; a &amp; b"


# Secrets


async def test_a_routing_key_is_kept_with_the_secrets_and_shown_nowhere(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.webhooks.add(receiver.url, format="pagerduty", secret=KEY, allow_private=True, **ADA)
        await TROUBLE.happen(post.hand)
        await project(post.hand)
        await post.deliver(issued)

        shown = [
            issued,
            await post.webhooks.get(issued.endpoint.id),
            await post.webhooks.deliveries(issued.endpoint.id),
        ]
        tables = ("webhook_endpoints", "webhook_deliveries", "audit", "notices")
        kept = [await post.hand.rows(f"SELECT * FROM powertools.{table}") for table in tables]

    assert issued.secret is None
    assert KEY not in str(shown) + str(kept)
    assert KEY in receiver.received[0].body.decode()


async def test_a_routing_key_may_stand_in_the_environment(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGERDUTY_KEY", KEY)
    async with receiving() as receiver:
        issued = await post.webhooks.add(
            receiver.url, format="pagerduty", secret_from_env="PAGERDUTY_KEY", allow_private=True, **ADA
        )
        answer = await post.webhooks.test(issued.endpoint.id)

    assert answer.error is None
    assert receiver.received[0].json["routing_key"] == KEY


@pytest.mark.parametrize("secret", [None, "", "whsec_" + "A" * 32, KEY[:-1], KEY[:-1] + "-"])
async def test_what_is_no_routing_key_is_refused_and_not_repeated(post: Post, secret: str | None) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        await post.webhooks.add("https://events.example/", format="pagerduty", secret=secret, **ADA)

    assert secret is None or secret == "" or secret not in str(refused.value)


@pytest.mark.parametrize("form", [Format.CHAT, Format.ALERTMANAGER])
async def test_a_format_without_a_secret_takes_none(post: Post, form: Format) -> None:
    with pytest.raises(InvalidSettingError):
        await post.webhooks.add("https://example.com/", format=form, secret=KEY, **ADA)
    issued = await post.webhooks.add("https://example.com/", format=form, **ADA)
    with pytest.raises(InvalidSettingError):
        await post.webhooks.rotate_secret(issued.endpoint.id, **ADA)

    assert issued.secret is None
    assert await post.hand.one("SELECT count(*) FROM powertools.webhook_secrets") == 0


@pytest.mark.parametrize("form", SCHEMAS)
async def test_a_test_is_as_published_and_wakes_nobody(post: Post, form: Format) -> None:
    async with receiving() as receiver:
        issued = await post.webhooks.add(receiver.url, format=form, allow_private=True, **SECRETS.get(form, {}), **ADA)
        answer = await post.webhooks.test(issued.endpoint.id)

    assert answer.error is None
    assert faults(receiver.received[0].json, SCHEMAS[form]) == []
    assert "trigger" not in receiver.received[0].body.decode()


@pytest.mark.parametrize("form", SCHEMAS)
async def test_one_message_says_that_a_mute_has_ended(post: Post, form: Format) -> None:
    async with receiving() as receiver:
        issued = await post.webhooks.add(receiver.url, format=form, allow_private=True, **SECRETS.get(form, {}), **ADA)
        await TROUBLE.happen(post.hand)
        [incident] = (await project(post.hand)).values()
        until = datetime.now(UTC) + timedelta(hours=1)
        await post.powertools.lifeline.mute_incident(incident.id, until=until, actor="ada", reason="wait for it")
        await post.deliver(issued)
        await post.hand.rows("UPDATE powertools.incidents SET muted_until = muted_until - interval '2 h'")
        for _ in range(2):
            await project(post.hand)
            await post.deliver(issued)

    _, ended = receiver.received
    assert faults(ended.json, SCHEMAS[form]) == []
    assert f"Incident {incident.id} is muted no more, and active: " in ended.body.decode()


ALERTS = [Format.PAGERDUTY, Format.ALERTMANAGER]


@pytest.mark.parametrize("types", [None, ["incident.opened", "incident.reopened"]], ids=["all", "opening"])
@pytest.mark.parametrize("name", sorted(TROUBLES))
@pytest.mark.parametrize("form", ALERTS)
async def test_whatever_class_triggers_an_alert_resolves_it_by_the_same_key(
    post: Post, form: Format, name: str, types: list[str] | None
) -> None:
    trouble = TROUBLES[name]
    async with receiving() as receiver:
        issued = await post.webhooks.add(
            receiver.url, format=form, allow_private=True, types=types, **SECRETS.get(form, {}), **ADA
        )
        for _ in range(2):
            await trouble.happen(post.hand)
            await project(post.hand, **trouble.settings)
            await trouble.end(post.hand)
            await project(post.hand)
        await post.deliver(issued)

    opened = [state_of(message.json) for message in receiver.received]
    assert open_after(opened) == set()
    assert any(is_open for _, is_open in opened)


def state_of(body: Any) -> tuple[str, bool]:
    """The key of an alert, and whether it is open after this message."""
    if isinstance(body, list):
        return body[0]["labels"]["key"], datetime.fromisoformat(body[0]["endsAt"]) > datetime.now(UTC)
    return body["dedup_key"], body["event_action"] != "resolve"


def open_after(messages: list[tuple[str, bool]]) -> set[str]:
    """The alerts that nobody has resolved."""
    return {key for key, is_open in dict(messages).items() if is_open}


# What can be asked for


@pytest.mark.parametrize("form", [Format.PAGERDUTY, Format.ALERTMANAGER])
async def test_alerts_are_of_incidents_alone(post: Post, form: Format) -> None:
    with pytest.raises(InvalidSettingError, match=r"incident\.opened"):
        await post.webhooks.add(
            "https://example.com/", format=form, types=["workflow.finished"], **SECRETS.get(form, {}), **ADA
        )


@pytest.mark.parametrize("form", FORMATS)
async def test_an_endpoint_without_types_gets_those_of_its_format(post: Post, form: Format) -> None:
    issued = await post.webhooks.add("https://example.com/", format=form, **SECRETS.get(form, {}), **ADA)

    assert issued.endpoint.format is form
    assert issued.endpoint.types == (() if form is Format.CLOUDEVENTS else FORMATS[form].default_types)


@pytest.mark.parametrize("url", ["", "console", "ftp://a/", "https://", "https://a/\n", 7])
async def test_what_is_no_address_of_a_console_is_refused(post: Post, url: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        await post.webhooks.add("https://example.com/", format="chat", console_url=url, **ADA)


async def test_a_cloud_event_of_an_incident_has_all_its_fields(post: Post) -> None:
    async with receiving() as receiver:
        issued = await post.add(receiver.url, types=["incident.opened", "repair.executed"])
        await TROUBLE.happen(post.hand)
        await project(post.hand)
        await post.deliver(issued)

    [event] = await post.powertools.events.read_topic("incident:all", since="0")
    assert isinstance(event, IncidentUpdated)
    assert receiver.received[0].event.data == event.to_dict()
    assert receiver.received[0].subject == f"incident/{event.incident_id}"


# Beside an earlier release


async def take_part(hand: Hand) -> bool:
    """Whether a process of an earlier release may dispatch."""
    return await hand.one("SELECT powertools.take_part_v1('dispatch_webhooks')")


async def test_an_earlier_release_dispatches_while_all_is_as_it_knows(post: Post) -> None:
    await post.add("https://example.com/", types=None)

    assert await take_part(post.hand)


@pytest.mark.parametrize("more", [{"types": ["incident.opened"]}, {"format": "chat", "types": None}])
async def test_an_earlier_release_passes_over_nothing_that_it_does_not_know(post: Post, more: dict[str, Any]) -> None:
    await post.add("https://example.com/", **more)

    assert not await take_part(post.hand)


async def test_an_earlier_release_leaves_deliveries_that_it_does_not_know_to_others(post: Post) -> None:
    issued = await post.webhooks.add("https://example.com/", format="chat", **ADA)
    await TROUBLE.happen(post.hand)
    await project(post.hand)
    await post.webhooks.dispatch()
    job_id = await post.hand.one("SELECT job_id FROM powertools.webhook_endpoints")

    [claim] = await post.hand.rows(
        "SELECT * FROM powertools.claim_webhook_v1(%s, %s, '1 min')", issued.endpoint.id, job_id
    )

    assert (claim["outcome"], claim["wait_for"]) == ("wait", timedelta(seconds=5))


# The command line


async def test_the_command_adds_an_endpoint_of_a_format_and_shows_of_a_chat_only_where_it_is(post: Post) -> None:
    options = ("--format", "chat", "--console-url", CONSOLE, "--reason", "for those on call")
    url = "https://hooks.example/services/team/s3cr3tpath"

    made = await asyncio.to_thread(powertools, "webhooks", "add", url, *options, dsn=post.hand.dsn)
    listed = await asyncio.to_thread(powertools, "webhooks", "list", dsn=post.hand.dsn)
    as_json = await asyncio.to_thread(powertools, "webhooks", "list", "--json", dsn=post.hand.dsn)

    assert (made.code, listed.code) == (0, 0)
    assert "https://hooks.example/…" in listed.out
    assert "s3cr3tpath" not in made.out + listed.out + as_json.out
    assert as_json.json["webhooks"][0]["format"] == "chat"


async def test_two_secrets_are_refused_without_being_repeated(post: Post) -> None:
    with pytest.raises(InvalidArgumentError, match="secret is there beside secret_from_env; expected one of both"):
        await post.add("https://example.com/", secret="whsec_AAAA", secret_from_env="BILLING_SECRET")
