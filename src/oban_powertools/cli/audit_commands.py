"""``audit list``, ``show``, ``verify`` and ``export``: who did what, and whether the audit is complete.

The rule that must never break: ``verify`` exits with 0 only when it has found nothing.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

import click
import orjson

from ..operators.audit import AuditFilter, AuditRecord, Outcome
from ..operators.authorization import ActorType, Authorize, Surface
from ..times import ago, moment
from .exits import Exit
from .forms import Form
from .groups import Group, examples
from .ids import parse_id
from .next_commands import command_line
from .output import print_block, print_facts, print_json, print_list, say, say_json
from .tables import Column, Table
from .target import Database, answering, on_database
from .values import acting, parse_instant

_RECORDS: Final = Table[AuditRecord](
    (
        Column("OUTCOME", lambda record: record.outcome, whole=True),
        Column("ID", lambda record: record.id, whole=True),
        Column("AT", lambda record: ago(record.at), whole=True),
        Column("ACTION", lambda record: record.action, whole=True),
        Column("TARGET", lambda record: f"{record.target_type}:{record.target_id}"),
        Column("ACTOR", lambda record: record.actor_label or record.actor_id),
        Column("VIA", lambda record: record.surface, whole=True, spare=True),
    ),
    sentence=lambda record: (record.reason or "", str(record.details.get("message", ""))),
)


@click.group(cls=Group)
def audit() -> None:
    """Look at what was done, by whom and why."""


_FILTERS: Final = (
    click.option("--actor-id", "actor_id", metavar="ID", help="Only of this actor."),
    click.option("--action", metavar="ACTION", help="Only of this action."),
    click.option("--target", "about", metavar="TYPE:ID", help="Only about this: workflow:41, or step:41/bill."),
    click.option("--outcome", type=click.Choice([o.value for o in Outcome]), help="Only with this outcome."),
    click.option("--actor-type", type=click.Choice([t.value for t in ActorType]), help="Only of this type of actor."),
    click.option("--surface", type=click.Choice([s.value for s in Surface]), help="Only through this door."),
    click.option("--since", callback=parse_instant, metavar="INSTANT", help="Only from then on, in UTC."),
    click.option("--until", callback=parse_instant, metavar="INSTANT", help="Only before."),
)


def _filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def _filter(*, actor_id: str | None, about: str | None, **only: Any) -> AuditFilter:
    kind, separator, target_id = (about or "").partition(":")
    if about is not None and not (kind and separator and target_id):
        raise click.UsageError(f"{about!r} is not TYPE:ID, as in workflow:41 or step:41/bill")
    return AuditFilter(actor=actor_id, target_type=kind or None, target_id=target_id or None, **only)


@audit.command(
    "list",
    epilog=examples(
        "powertools audit list",
        "powertools audit list --target workflow:41",
        "powertools audit list --outcome refused --since 2026-11-21",
    ),
)
@_filtered
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--before", callback=parse_id, metavar="ID", help="Only older than this record: the next page.")
@answering
async def list_records(target: Database, *, limit: int, before: int | None, form: Form, **filters: Any) -> int:
    """List what was done, refused attempts too; the newest first."""
    chosen = _filter(**filters)
    async with target.calls() as calls:
        records = await calls.audit.list(**asdict(chosen), before=before, limit=limit)
    then = [command_line("audit", "show", records[0].id)] if records else []
    print_list(form, "records", records, _RECORDS, empty="no record", limit=limit, then=then)
    return Exit.DONE


@audit.command("show", epilog=examples("powertools audit show 8123"))
@click.argument("record_id", callback=parse_id, metavar="ID")
@answering
async def show(target: Database, *, record_id: int, form: Form) -> int:
    """Show one record with everything it contains: the state before and after, and its seal."""
    async with target.calls() as calls:
        record = await calls.audit.get(record_id)
    if form.is_json:
        print_json({"record": record}, form)
        return Exit.DONE
    values = {field.name.replace("_", " "): getattr(record, field.name) for field in fields(record)}
    print_facts({name: _fact(value) for name, value in values.items() if not isinstance(value, dict | list)})
    for name, value in values.items():
        if value and isinstance(value, dict | list):
            print_block(name, orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
    return Exit.DONE


@audit.command(
    epilog=examples("powertools audit verify", "powertools audit verify --head 812:9f86d081884c7d659a2feaa0c55ad015")
)
@click.option("--head", metavar="SEAL:HASH", help="A head that was noted before: the chain must still hold it.")
@answering
async def verify(target: Database, *, head: str | None, form: Form) -> int:
    """Compare every record with its hash, and every seal with its records and the seal before.

    Exit code 6 when something is wrong; the first bad record is named. Store the head that it prints somewhere else,
    and pass it to a later verification, which then detects whether the whole chain was rewritten.
    """
    async with target.calls() as calls:
        verification = await calls.audit.verify(head=head)
    if form.is_json:
        print_json({"verification": verification.to_dict() | {"sound": verification.sound}}, form)
    else:
        for finding in verification.findings:
            say(f"{finding.kind}: {finding.message}")
        verdict = "sound" if verification.sound else "NOT sound"
        counts = f"{verification.rows} records, {verification.seals} seals, {verification.unsealed} not yet sealed"
        say(f"{verdict}: {counts}")
        say(f"head {verification.head}")
    return Exit.DONE if verification.sound else Exit.FINDINGS


@audit.command(epilog=examples("powertools audit export --since 2026-11-01 > audit.jsonl"))
@_filtered
@acting
@on_database
def export(target: Database, *, actor: str, authorize: Authorize, **filters: Any) -> int:
    """Print every record as a line of JSON, oldest first; the export itself is recorded, too."""
    asyncio.run(_export(target, actor, authorize, _filter(**filters)))
    return Exit.DONE


async def _export(target: Database, actor: str, authorize: Authorize, chosen: AuditFilter) -> None:
    async with target.calls(authorize) as calls:
        async for line in calls.audit.export(actor=actor, chosen=chosen, source="cli"):
            say_json(line)
    sys.stdout.flush()


def _fact(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return moment(value)
        case _:
            return str(value)
