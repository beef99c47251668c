"""``signals list`` and ``waits``: signals that nobody took, and waits that nobody ended."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import click

from ..acts import Action
from ..times import ago
from ..workflows.finding_signals import OpenWait, StoredSignal, WaitAlike
from .exits import Exit
from .forms import Form
from .groups import Group, examples
from .ids import parse_id
from .next_commands import command_line
from .output import print_list
from .tables import Column, Table
from .target import Database, answering
from .values import parse_instant


def _alike(signal: StoredSignal) -> list[str]:
    return [
        f"alike: workflow {wait.workflow_id} {wait.step} waits for {wait.signal} with key {wait.correlation_key}"
        for wait in signal.alike
    ]


def _redirect(signal: StoredSignal, wait: WaitAlike) -> list[str]:
    """What ends the wait with it, and what says more about that wait."""
    step = f"{wait.workflow_id}/{wait.step}"
    return [
        command_line("repair", "preview", Action.SIGNAL_REDIRECT, signal.id, "--to", step, acts=True),
        command_line("workflow", "explain", wait.workflow_id, wait.step),
    ]


_SIGNALS: Final = Table[StoredSignal](
    (
        Column("ID", lambda signal: signal.id, whole=True),
        Column("SIGNAL", lambda signal: signal.signal),
        Column("KEY", lambda signal: signal.correlation_key),
        Column("SENT", lambda signal: ago(signal.inserted_at), whole=True),
        Column("WORKFLOW", lambda signal: signal.workflow_id, whole=True),
        Column("EXPIRES", lambda signal: ago(signal.expires_at), whole=True),
    ),
    sentence=_alike,
)
_WAITS: Final = Table[OpenWait](
    (
        Column("ID", lambda wait: wait.id, whole=True),
        Column("SIGNAL", lambda wait: wait.signal),
        Column("KEY", lambda wait: wait.correlation_key),
        Column("SINCE", lambda wait: ago(wait.registered_at), whole=True),
        Column("WORKFLOW", lambda wait: wait.workflow_id, whole=True),
        Column("STEP", lambda wait: wait.step),
        Column("EXPIRES", lambda wait: ago(wait.deadline_at), whole=True),
    )
)


def _ends(wait: OpenWait) -> tuple[bool, datetime]:
    """In order: what expires soonest, then what waits longest."""
    return wait.deadline_at is None, wait.deadline_at or wait.registered_at


def _filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option("--name", "signal", help="Only of this name."),
            click.option("--key", "correlation_key", help="Only with this correlation key."),
            click.option(
                "--workflow", "workflow_id", callback=parse_id, metavar="ID", help="Only for, or of, this workflow."
            ),
            click.option("--since", callback=parse_instant, metavar="INSTANT", help="Only from then on."),
            click.option("--until", callback=parse_instant, metavar="INSTANT", help="Only before."),
            click.option(
                "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many."
            ),
            click.option("--before", callback=parse_id, metavar="ID", help="Only older than this one: the next page."),
        )
    ):
        command = option(command)
    return command


@click.group(cls=Group)
def signals() -> None:
    """Look at stored signals and open waits; changes nothing."""


@signals.command(
    "list", epilog=examples("powertools signals list", "powertools signals list --name approved --until 2026-11-21")
)
@_filtered
@answering
async def list_signals(
    target: Database,
    *,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    form: Form,
    **only: Any,
) -> int:
    """List signals that no wait has taken yet, newest first, with the waits that look alike."""
    async with target.snapshot() as calls:
        found = await calls.workflows.list_signals(**only, inserted_from=since, inserted_to=until, limit=limit)
    meant = ((signal, wait) for signal in reversed(found) for wait in signal.alike if wait.meant)
    longest = next(meant, None)
    then = _redirect(*longest) if longest else []
    print_list(form, "signals", found, _SIGNALS, empty="no signal is stored", limit=limit, then=then)
    return Exit.DONE


@signals.command("waits", epilog=examples("powertools signals waits", "powertools signals waits --name approved"))
@_filtered
@answering
async def list_waits(
    target: Database,
    *,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    form: Form,
    **only: Any,
) -> int:
    """List waits that no signal has ended yet, newest first."""
    async with target.snapshot() as calls:
        found = await calls.workflows.list_waits(**only, registered_from=since, registered_to=until, limit=limit)
    soonest = min(found, key=_ends, default=None)
    then = [command_line("workflow", "explain", soonest.workflow_id, soonest.step)] if soonest else []
    print_list(form, "waits", found, _WAITS, empty="nothing waits for a signal", limit=limit, then=then)
    return Exit.DONE
