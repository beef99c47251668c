"""``workflow cancel``, ``recover``, ``hold``, ``release`` and ``commands``: change a workflow, and list its changes.

The rule that must never break: nothing is changed without an actor and a reason. A refusal names what is legal
instead.
"""

import asyncio
from datetime import timedelta
from typing import Any, Final

import click

from ..acts import Action
from ..operators.authorization import Authorize
from ..plural import counted
from ..privacy.apply_display import apply_display
from ..states import RecoveryAction, WorkflowId
from ..times import ago
from ..workflows.records import WorkflowRecord
from .confirming import confirm
from .exits import Exit
from .forms import Form, formatted
from .groups import examples
from .ids import parse_id
from .output import print_json, print_list, say
from .tables import Column, Table
from .target import Database, answering, on_database
from .values import accounted, parse_duration, payload_option
from .workflow_text import names

_COMMANDS: Final = Table[dict[str, Any]](
    (
        Column("AT", lambda command: ago(command["inserted_at"]), whole=True),
        Column("ACTION", lambda command: command["action"], whole=True),
        Column("STEP", lambda command: command["step"]),
        Column("OUTCOME", lambda command: "refused" if command["reason_code"] else command["outcome"], whole=True),
        Column("ACTOR", lambda command: command["actor"]),
        Column("VIA", lambda command: command["source"], whole=True, spare=True),
    ),
    sentence=lambda command: "; ".join(
        filter(None, (f"refused: {command['reason_code']}" if command["reason_code"] else "", command["reason"]))
    ),
)


@click.command(epilog=examples("powertools workflow cancel 41 --reason 'the order was withdrawn'"))
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@accounted
@click.option("--yes", is_flag=True, help="Do not ask.")
@on_database
@formatted
def cancel(
    target: Database, *, workflow_id: int, actor: str, reason: str, authorize: Authorize, yes: bool, form: Form
) -> int:
    """Request a workflow's cancel.

    Waiting steps end at once, with their jobs. Executing jobs are asked to stop, and may still complete. On a terminal
    it asks first; without one it needs --yes.
    """
    key = WorkflowId(workflow_id)
    # Asked between two connections: none idles meanwhile, and no event loop swallows Ctrl+C.
    confirm(Action.WORKFLOW_CANCEL, yes, "--yes", lambda: _question(asyncio.run(_find(target, key))))
    workflow = asyncio.run(_cancel(target, key, actor, reason, authorize))
    if form.is_json:
        print_json({"workflow": apply_display(target.display, workflow)}, form)
    elif workflow.open:
        still = counted(workflow.open, "step")
        say(f"cancel of workflow {workflow.id} requested; {still} still executing, asked to stop")
    else:
        say(f"workflow {workflow.id} is {workflow.state}")
    return Exit.DONE


async def _find(target: Database, workflow_id: WorkflowId) -> WorkflowRecord:
    async with target.snapshot() as calls:
        return await calls.workflows.get(workflow_id)


async def _cancel(
    target: Database, workflow_id: WorkflowId, actor: str, reason: str, authorize: Authorize
) -> WorkflowRecord:
    async with target.calls(authorize) as calls:
        await calls.workflows.request_cancel(workflow_id, actor=actor, reason=reason, source="cli")
        return await calls.workflows.get(workflow_id)


def _question(workflow: WorkflowRecord) -> str:
    return f"Cancel workflow {workflow.id} {workflow.name} with {counted(workflow.open, 'step')} left?"


@click.command(
    epilog=examples(
        "powertools workflow recover 41 --reason 'the bank is back'",
        "powertools workflow recover 41 bill --action complete --payload '{\"paid\": 30}' --reason 'paid by hand'",
    )
)
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.argument("step", required=False, metavar="[STEP]")
@click.option(
    "--action",
    type=click.Choice([action.value for action in RecoveryAction]),
    default=RecoveryAction.RETRY.value,
    show_default=True,
    help="What to do.",
)
@payload_option
@accounted
@answering
async def recover(
    target: Database,
    *,
    workflow_id: int,
    step: str | None,
    action: str,
    payload: Any,
    actor: str,
    reason: str,
    authorize: Authorize,
    form: Form,
) -> int:
    """Retry failed steps, or decide the outcome of one step.

    Without a STEP every failed step is retried, with the steps cancelled because of it.
    """
    if payload is not None and action != RecoveryAction.COMPLETE:
        raise click.UsageError("--payload goes with --action complete: it is the step's result")
    async with target.calls(authorize) as calls:
        outcome = await calls.workflows.recover(
            WorkflowId(workflow_id), step, action, actor=actor, reason=reason, payload=payload, source="cli"
        )
    if form.is_json:
        print_json({"recovered": outcome}, form)
        return Exit.DONE
    further = f", and {outcome.revived} more with it" if outcome.revived else ""
    say(f"{action}: {names(outcome.steps)}{further}; generation {outcome.generation}")
    return Exit.DONE


@click.command(
    epilog=examples(
        "powertools workflow hold 41 --for 2h --reason 'the bank is down'",
        "powertools workflow hold 41 bill --for 1d --reason 'wait for the audit'",
    )
)
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.argument("step", required=False, metavar="[STEP]")
@click.option(
    "--for", "hold_for", required=True, callback=parse_duration, metavar="DURATION", help="90s, 30m, 2h or 1d."
)
@accounted
@answering
async def hold(
    target: Database,
    *,
    workflow_id: int,
    step: str | None,
    hold_for: timedelta,
    actor: str,
    reason: str,
    authorize: Authorize,
    form: Form,
) -> int:
    """Keep a step, or every step, from starting; the hold ends by itself.

    Executing steps continue.
    """
    key = WorkflowId(workflow_id)
    async with target.calls(authorize) as calls:
        count = await calls.workflows.hold(key, step, hold_for=hold_for, actor=actor, reason=reason, source="cli")
    if form.is_json:
        print_json({"workflow_id": key, "held": count}, form)
    else:
        say(f"held {counted(count, 'step')} of workflow {key}")
    return Exit.DONE


@click.command(epilog=examples("powertools workflow release 41 --reason 'the bank is back'"))
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.argument("step", required=False, metavar="[STEP]")
@accounted
@answering
async def release(
    target: Database,
    *,
    workflow_id: int,
    step: str | None,
    actor: str,
    reason: str,
    authorize: Authorize,
    form: Form,
) -> int:
    """End the hold of a step, or of every step; steps that are ready start."""
    key = WorkflowId(workflow_id)
    async with target.calls(authorize) as calls:
        released = await calls.workflows.release(key, step, actor=actor, reason=reason, source="cli")
    if form.is_json:
        print_json({"workflow_id": key, "released": released}, form)
    else:
        say(f"released {counted(released, 'step')} of workflow {key}")
    return Exit.DONE


@click.command("commands", epilog=examples("powertools workflow commands 41"))
@click.argument("workflow_id", callback=parse_id, metavar="ID")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@answering
async def list_commands(target: Database, *, workflow_id: int, limit: int, form: Form) -> int:
    """List the commands on a workflow, refused ones too, newest first."""
    key = WorkflowId(workflow_id)
    async with target.snapshot() as calls:
        rows = await calls.workflows.commands(key, limit=limit)
        if not rows:
            await calls.workflows.get(key)
    print_list(form, "commands", rows, _COMMANDS, empty="no command yet")
    return Exit.DONE
