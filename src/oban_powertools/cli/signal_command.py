"""``signal``: send a payload to the step that waits for its name and key.

A signal that woke no step and never will does not end as a success.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import click

from ..acts import Action
from ..privacy.apply_display import apply_display
from ..states import SignalStatus, WorkflowId
from ..workflows.finding_signals import OpenWait
from .exits import Exit
from .forms import Form
from .groups import examples
from .ids import parse_id
from .next_commands import command_line
from .output import note, print_json, print_next, say
from .target import Database, answering
from .values import find_duration, payload_option

_SAID: Final[Mapping[SignalStatus, str]] = {
    SignalStatus.CONSUMED: "a waiting step took it",
    SignalStatus.STORED: "nobody waits for it yet: it is kept for the wait to come",
    SignalStatus.LATE: "the wait has expired, or every workflow that it is for has ended: nobody takes it",
    SignalStatus.AMBIGUOUS: "several workflows wait for it: nobody was woken, say which with --workflow",
    SignalStatus.DUPLICATE: "it was delivered before, nothing changed",
}
_MOST: Final = 5
"""Waits that are named, of a signal that several could take."""

_LOST: Final = (SignalStatus.LATE, SignalStatus.AMBIGUOUS)


@click.command(
    epilog=examples(
        'powertools signal approved --key expense-7 --payload \'{"name": "Grace"}\'',
        "powertools signal paid --key 42 --workflow 41 --dedupe-key bank-8123",
        "powertools signal approved --key customer-7 --only-begun --expires-in 1d",
    )
)
@click.argument("name", metavar="NAME")
@click.option("--key", required=True, help="The correlation key: which of the signals of that name.")
@payload_option
@click.option("--dedupe-key", metavar="KEY", help="A repeat with the same key changes nothing.")
@click.option("--workflow", "workflow_id", callback=parse_id, metavar="ID", help="Which workflow is meant.")
@click.option(
    "--expires-in", callback=find_duration, metavar="DURATION", help="How long it is kept: 90s, 30m, 2h or 1d."
)
@click.option("--only-begun", is_flag=True, help="It is for workflows that have begun, not for later ones.")
@answering
async def signal(
    target: Database,
    *,
    name: str,
    key: str,
    payload: Any,
    dedupe_key: str | None,
    workflow_id: int | None,
    expires_in: timedelta | None,
    only_begun: bool,
    form: Form,
) -> int:
    """Deliver a signal to the step that waits for it; the payload is the step's result.

    Exit code 6 when it came too late, or when several workflows wait for it.
    """
    async with target.calls() as calls:
        delivered = await calls.workflows.signal(
            name,
            key,
            payload,
            dedupe_key=dedupe_key,
            workflow_id=WorkflowId(workflow_id) if workflow_id else None,
            expires_in=expires_in,
            only_begun=only_begun,
        )
        waits: Sequence[OpenWait] = ()
        if delivered.status is SignalStatus.AMBIGUOUS:
            waits = await calls.workflows.list_waits(signal=name, correlation_key=key, limit=_MOST)
    if form.is_json:
        print_json({"signal": apply_display(target.display, delivered)}, form)
    else:
        say(f"signal {delivered.id} is {delivered.status}")
        note(_SAID[delivered.status])
        for wait in waits:
            note(f"{wait.step} of workflow {wait.workflow_id} {wait.workflow_name} waits for it")
        print_next(*(_give_to(delivered.id, wait) for wait in waits))
        if delivered.status is SignalStatus.STORED:
            print_next(command_line("signals", "list"))
    return Exit.FINDINGS if delivered.status in _LOST else Exit.DONE


def _give_to(signal_id: int, wait: OpenWait) -> str:
    """What gives the signal to this wait, among several."""
    step = f"{wait.workflow_id}/{wait.step}"
    return command_line("repair", "preview", Action.SIGNAL_REDIRECT, signal_id, "--to", step, acts=True)
