"""``uninstall``: drop our schema, after a confirmation.

The rule that must never break: nothing is dropped without a person's answer or ``--yes``.
"""

import asyncio
import sys
from dataclasses import dataclass
from typing import Final

import click

from .. import schema
from ..database import Connection, Queries, Session, describe_dsn
from ..states import WorkflowState
from ..workflows import reads
from .exits import Exit, StoppedError
from .forms import Form, formatted
from .groups import examples
from .output import note, print_json, say
from .target import Database, on_database

MANY: Final = 1000
"""Unfinished workflows that are counted; beyond it the answer is "at least"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """What an uninstall would drop."""

    schema: str
    where: str
    unfinished: int | None
    """Workflows, at most MANY; None where the tables are those of another release."""


@click.command(epilog=examples("powertools uninstall --yes"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@on_database
@formatted
def uninstall(target: Database, *, yes: bool, form: Form) -> int:
    """Drop the schema and all workflows; Oban's jobs stay.

    Asks for the schema's name first. Without a terminal it needs --yes.
    """
    # Asked between two connections: none idles meanwhile, and no event loop swallows Ctrl+C.
    loss = asyncio.run(_find_loss(target))
    if not yes:
        _ask(loss)
    asyncio.run(_drop(target))
    if form.is_json:
        print_json({"schema": loss.schema, "uninstalled": True, "unfinished_workflows": loss.unfinished}, form)
    else:
        say(f"dropped schema {loss.schema}; Oban's tables and jobs in schema {target.names.prefix} stay")
    return Exit.DONE


async def _find_loss(target: Database) -> _Loss:
    async with target.connection() as conn:
        status, where = await schema.status(conn, target.names), describe_dsn(conn.info.dsn)
        if status.found == 0:
            raise StoppedError(
                f"nothing to uninstall: schema {status.schema!r} is not installed in {where}", Exit.NOT_FOUND
            )
        unfinished = (
            await _count_unfinished(conn, target) if status.found == status.expected and not status.strangers else None
        )
    return _Loss(schema=status.schema, where=where, unfinished=unfinished)


async def _count_unfinished(conn: Connection, target: Database) -> int:
    session, states = Session(conn, Queries(target.names)), (WorkflowState.RUNNING, WorkflowState.CANCEL_REQUESTED)
    lists = [await reads.list_workflows(session, {"state": state}, limit=MANY) for state in states]
    return min(sum(map(len, lists)), MANY)


def _ask(loss: _Loss) -> None:
    at_least = "at least " if loss.unfinished == MANY else ""
    lost = "all workflows" + ("" if loss.unfinished is None else f" ({at_least}{loss.unfinished} unfinished)")
    if not sys.stdin.isatty():
        raise click.UsageError(f"nobody to ask, no terminal: pass --yes to drop schema {loss.schema!r} with {lost}")
    note(f"This drops schema {loss.schema} in {loss.where} with {lost}.")
    note("Oban's tables and jobs stay; no step that still waits will ever be released.")
    if click.prompt("Type the schema's name to go on", default="", show_default=False, err=True) != loss.schema:
        raise StoppedError("the name was not typed, nothing changed", Exit.CONFLICT)


async def _drop(target: Database) -> None:
    async with target.connection() as conn:
        await schema.uninstall(conn, target.names)
