"""``webhooks``: manage endpoints, read their deliveries, and print a new secret once.

The rules that must never break: only the command that made a secret prints it; a secret is never taken from an
argument, which other users of the machine can read; nothing is changed without an actor and a reason.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final

import click

from ..events.types import Cursor
from ..operators.authorization import Authorize
from ..plural import counted
from ..privacy.apply_display import apply_display
from ..times import ago, instant
from ..webhooks import Answer, DeliveryState, EndpointId, Format, IssuedSecret, WebhookDelivery, WebhookEndpoint
from ..webhooks.cloudevents import EVENT_TYPES
from .confirming import ask_person
from .exits import Exit
from .forms import Form, formatted
from .groups import Group, examples
from .ids import parse_id
from .next_commands import command_line
from .output import note, print_facts, print_json, print_list, print_next, say
from .tables import Column, Table
from .target import Database, answering, on_database
from .values import accounted, parse_duration

_COUNTED: Final = 10_000
_LOOKED_AT: Final = 100
"""Of the deliveries of an endpoint that wait, the newest: the oldest of these that failed says how."""

_webhook_id = click.argument("webhook_id", metavar="ID", callback=parse_id)
_secret_option = click.option(
    "--secret-from-env", metavar="VARIABLE", help="The variable that holds the secret wherever deliveries run."
)


def _events(endpoint: WebhookEndpoint) -> str:
    events = ", ".join(endpoint.types) or "all of workflows"
    if endpoint.format is not Format.CLOUDEVENTS:
        events = f"{endpoint.format}: {events}"
    return f"{events} of {endpoint.workflow_name}" if endpoint.workflow_name else events


def _sentence(endpoint: WebhookEndpoint, failed: WebhookDelivery | None = None) -> str:
    stopped = "" if endpoint.enabled else f"disabled: {endpoint.disabled_reason}"
    failing = (
        failed
        and f"failing, {counted(failed.attempts, 'try', 'tries')}, last {ago(failed.attempted_at)}: {failed.error}"
    )
    return "; ".join(part for part in (stopped, failing, endpoint.description, _events(endpoint)) if part)


_ENDPOINTS: Final = Table[WebhookEndpoint](
    (
        Column("STATE", lambda endpoint: "enabled" if endpoint.enabled else "disabled", whole=True),
        Column("ID", lambda endpoint: endpoint.id, whole=True),
        Column("WAITING", lambda endpoint: _count(endpoint.pending), number=True),
        Column("DEAD", lambda endpoint: _count(endpoint.dead), number=True),
        Column("MISSED", lambda endpoint: endpoint.missed or None, number=True),
        Column("URL", lambda endpoint: endpoint.url),
    ),
    sentence=_sentence,
)
_DELIVERIES: Final = Table[WebhookDelivery](
    (
        Column("STATE", lambda delivery: delivery.state, whole=True),
        Column("CURSOR", lambda delivery: delivery.cursor, whole=True),
        Column("TYPE", lambda delivery: delivery.message["type"].removeprefix("oban_powertools.")),
        Column("SUBJECT", lambda delivery: delivery.message["subject"]),
        Column("TRIES", lambda delivery: delivery.attempts, number=True),
        Column("LAST", lambda delivery: ago(delivery.attempted_at), whole=True),
    ),
    sentence=lambda delivery: delivery.error or "",
)


@click.group(cls=Group)
def webhooks() -> None:
    """Send events to other systems."""


@webhooks.command("list", epilog=examples("powertools webhooks list"))
@answering
async def list_(target: Database, *, form: Form) -> int:
    """List the endpoints, with the numbers of waiting and dead deliveries."""
    async with target.calls() as calls:
        endpoints = [apply_display(target.display, endpoint) for endpoint in await calls.webhooks.list()]
        failing = {
            endpoint.id: apply_display(target.display, delivery)
            for endpoint in endpoints
            if endpoint.pending and not form.is_json
            for delivery in await calls.webhooks.deliveries(endpoint.id, state=DeliveryState.PENDING, limit=_LOOKED_AT)
            if delivery.error
        }

    def sentence(endpoint: WebhookEndpoint) -> str:
        return _sentence(endpoint, failing.get(endpoint.id))

    table = replace(_ENDPOINTS, sentence=sentence)
    empty = "no webhooks: powertools webhooks add URL makes one"
    print_list(form, "webhooks", endpoints, table, empty=empty, then=_next_commands(endpoints))
    return Exit.DONE


@webhooks.command(
    epilog=examples(
        'powertools webhooks add https://example.com/hook --reason "the ledger wants to know"',
        'powertools webhooks add https://example.com/hook --type workflow.finished --reason "for the ledger"',
        'powertools webhooks add https://hooks.slack.com/services/... --format chat --reason "for those on call"',
    )
)
@click.argument("url", metavar="URL")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(EVENT_TYPES),
    metavar="TYPE",
    help="Only these events. May be repeated.",
)
@click.option(
    "--format",
    type=click.Choice([form.value for form in Format]),
    default=Format.CLOUDEVENTS.value,
    show_default=True,
    help="What is sent: each event as it is, a text for a chat, or alerts.",
)
@click.option("--console-url", metavar="URL", help="Where an operator finds what is told of: messages link to it.")
@click.option("--workflow-name", metavar="NAME", help="Only of workflows of this name.")
@click.option("--description", default="", metavar="TEXT", help="Yours.")
@click.option("--allow-private", is_flag=True, help="Permit plain HTTP, and addresses that are not public.")
@_secret_option
@accounted
@answering
async def add(target: Database, *, authorize: Authorize, form: Form, **options: Any) -> int:
    """Send events to a URL from now on; shows the secret only this once."""
    options["types"] = options["types"] or None
    async with target.calls(authorize) as calls:
        issued = await calls.webhooks.add(options.pop("url"), source="cli", **options)
    return _show_issued(apply_display(target.display, issued), "added", form=form)


@webhooks.command(epilog=examples("powertools webhooks test 1"))
@_webhook_id
@answering
async def test(target: Database, *, webhook_id: int, form: Form) -> int:
    """Send a ping from here, at once; exit code 1 when it was not accepted."""
    async with target.calls() as calls:
        answer = apply_display(target.display, await calls.webhooks.test(EndpointId(webhook_id)))
    if form.is_json:
        print_json({"answer": {"status": answer.status, "error": answer.error}}, form)
    else:
        say(_describe_answer(answer))
    return Exit.FAILED if answer.error else Exit.DONE


@webhooks.command(epilog=examples("powertools webhooks rotate 1 --keep-old-for 7d --reason 'once a quarter'"))
@_webhook_id
@click.option(
    "--keep-old-for",
    callback=parse_duration,
    default="1d",
    show_default=True,
    metavar="DURATION",
    help="How long the old secret signs too: 90s, 30m, 2h, 1d.",
)
@_secret_option
@accounted
@answering
async def rotate(target: Database, *, webhook_id: int, authorize: Authorize, form: Form, **options: Any) -> int:
    """Sign with a new secret; shows it only this once."""
    async with target.calls(authorize) as calls:
        issued = await calls.webhooks.rotate_secret(EndpointId(webhook_id), source="cli", **options)
    issued = apply_display(target.display, issued)
    return _show_issued(
        issued,
        f"has a new secret; the old one signs too until {instant(issued.endpoint.old_secret_until)}",
        form=form,
    )


@webhooks.command(epilog=examples('powertools webhooks disable 1 --reason "they are moving"'))
@_webhook_id
@accounted
@answering
async def disable(
    target: Database, *, webhook_id: int, actor: str, reason: str, authorize: Authorize, form: Form
) -> int:
    """Send nothing until it is enabled again; events wait in the log."""
    async with target.calls(authorize) as calls:
        endpoint = await calls.webhooks.disable(EndpointId(webhook_id), actor=actor, reason=reason, source="cli")
    return _show_changed(apply_display(target.display, endpoint), "disabled", form=form)


@webhooks.command(epilog=examples('powertools webhooks enable 1 --reason "they have moved"'))
@_webhook_id
@accounted
@answering
async def enable(
    target: Database, *, webhook_id: int, actor: str, reason: str, authorize: Authorize, form: Form
) -> int:
    """Enable an endpoint again; deliveries continue where they stopped."""
    async with target.calls(authorize) as calls:
        endpoint = await calls.webhooks.enable(EndpointId(webhook_id), actor=actor, reason=reason, source="cli")
    return _show_changed(apply_display(target.display, endpoint), "enabled", form=form)


@webhooks.command(epilog=examples('powertools webhooks remove 1 --reason "the ledger is gone" --yes'))
@_webhook_id
@accounted
@click.option("--yes", is_flag=True, help="Do not ask.")
@on_database
@formatted
def remove(
    target: Database, *, webhook_id: int, actor: str, reason: str, authorize: Authorize, yes: bool, form: Form
) -> int:
    """Remove an endpoint, with its secrets and deliveries."""
    if not yes:
        ask_person(f"remove webhook {webhook_id} with its deliveries?")
    asyncio.run(_remove(target, webhook_id, actor, reason, authorize))
    if form.is_json:
        print_json({"webhook_id": webhook_id, "removed": True}, form)
    else:
        say(f"webhook {webhook_id} is removed")
    return Exit.DONE


async def _remove(target: Database, webhook_id: int, actor: str, reason: str, authorize: Authorize) -> None:
    async with target.calls(authorize) as calls:
        await calls.webhooks.remove(EndpointId(webhook_id), actor=actor, reason=reason, source="cli")


@webhooks.command(epilog=examples("powertools webhooks deliveries 1 --state dead"))
@_webhook_id
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--before", callback=parse_id, metavar="CURSOR", help="Only older events: the next page.")
@answering
async def deliveries(
    target: Database, *, webhook_id: int, state: str | None, limit: int, before: int | None, form: Form
) -> int:
    """List an endpoint's deliveries, of the newest event first."""
    async with target.calls() as calls:
        records = await calls.webhooks.deliveries(
            EndpointId(webhook_id),
            limit=limit,
            state=DeliveryState(state) if state else None,
            before=None if before is None else Cursor(before),
        )
    records = [apply_display(target.display, delivery) for delivery in records]
    dead = any(delivery.state is DeliveryState.DEAD for delivery in records)
    then = [command_line("webhooks", "replay", webhook_id, reason=True)] if dead else []
    cursor = attrgetter("cursor")
    print_list(form, "deliveries", records, _DELIVERIES, empty="no delivery", limit=limit, place=cursor, then=then)
    return Exit.DONE


@webhooks.command(
    epilog=examples(
        "powertools webhooks replay 1 8123 --reason 'they lost it'",
        "powertools webhooks replay 1 --reason 'they are back'",
    )
)
@_webhook_id
@click.argument("cursor", metavar="[CURSOR]", required=False, callback=parse_id)
@accounted
@answering
async def replay(
    target: Database,
    *,
    webhook_id: int,
    cursor: int | None,
    actor: str,
    reason: str,
    authorize: Authorize,
    form: Form,
) -> int:
    """Deliver again with the same webhook-id: one delivery, or all dead ones."""
    chosen = None if cursor is None else Cursor(cursor)
    async with target.calls(authorize) as calls:
        count = await calls.webhooks.replay(EndpointId(webhook_id), chosen, actor=actor, reason=reason, source="cli")
    if form.is_json:
        print_json({"webhook_id": webhook_id, "replayed": count}, form)
    else:
        say(f"{counted(count, 'delivery', 'deliveries')} will be sent again")
        if not count:
            note("only dead deliveries are sent again by this; those that wait are tried again by themselves")
            print_next(command_line("webhooks", "deliveries", webhook_id))
    return Exit.DONE


def _show_changed(endpoint: WebhookEndpoint, word: str, *, form: Form) -> int:
    if form.is_json:
        print_json({"webhook": endpoint}, form)
    else:
        say(f"webhook {endpoint.id} is {word}")
    return Exit.DONE


def _show_issued(issued: IssuedSecret, change: str, *, form: Form) -> int:
    if form.is_json:
        print_json({"webhook": issued.endpoint, "secret": issued.secret}, form)
        return Exit.DONE
    note(f"webhook {issued.endpoint.id} {change}")
    print_facts({"id": str(issued.endpoint.id), "secret": issued.secret or ""})
    if issued.secret:
        note("the secret is for the receiver; it is not shown again")
    return Exit.DONE


def _next_commands(endpoints: Sequence[WebhookEndpoint]) -> list[str]:
    """What concerns the first endpoint that is in trouble."""
    for endpoint in endpoints:
        if not endpoint.enabled:
            return [command_line("webhooks", "enable", endpoint.id, reason=True)]
        if endpoint.dead:
            return [command_line("webhooks", "deliveries", endpoint.id, "--state", "dead")]
    return []


def _count(counted: int) -> str:
    return f"{_COUNTED}+" if counted > _COUNTED else str(counted or "")


def _describe_answer(answer: Answer) -> str:
    return f"not taken: {answer.error}" if answer.error else f"taken: HTTP {answer.status}"
