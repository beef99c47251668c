"""``install``, ``upgrade``, ``uninstall`` and ``status``: the schema, from the command line.

The rule that must never break: nothing is dropped without a person's word or ``--yes``.
"""

import sys
from typing import Final

import click
from oban.schema import install_sql

from .. import schema
from ..config import Names
from ..database import Connection, Queries, describe
from ..errors import SchemaMissingError
from ..schema import SchemaStatus
from ..states import WorkflowState
from ..workflow import reads
from .exits import Exit, StoppedError
from .groups import examples
from .output import note, print_facts, print_json
from .target import Target, answering

MANY: Final = 1000
"""Unfinished workflows that are counted before an uninstall; beyond it the answer is "at least"."""


@click.command(
    epilog=examples(
        "powertools install --dsn postgresql://localhost/myapp", "powertools install --sql --with-oban > install.sql"
    )
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL for a migration of your own; changes nothing.")
@click.option("--with-oban", is_flag=True, help="With --sql: begin with the SQL of Oban's own tables.")
@answering
async def install(target: Target, *, as_sql: bool, with_oban: bool, as_json: bool) -> int:
    """Install the schema, and Oban's tables where they are missing.

    Repeating it changes nothing. --sql needs no database.
    """
    if as_sql:
        oban = _oban_sql(target.names) if with_oban else ""
        return _print_sql(oban + schema.sql(target.names), as_json)
    if with_oban:
        raise click.UsageError("--with-oban belongs to --sql; install brings Oban's tables by itself")
    async with target.connection() as conn:
        before = await schema.status(conn, target.names)
        applied = await schema.install(conn, target.names)
        after = await schema.status(conn, target.names)
    if not before.oban_installed and not as_json:
        click.echo(f"installed Oban's tables in schema {target.names.prefix}")
    return _print_applied(applied, after, as_json)


@click.command(epilog=examples("powertools upgrade", "powertools upgrade --sql --from 3 > upgrade.sql"))
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL for a migration of your own; changes nothing.")
@click.option(
    "--from",
    "after",
    type=click.IntRange(min=0),
    metavar="VERSION",
    help="With --sql: the version to upgrade from; needs no database.  [default: what is installed]",
)
@answering
async def upgrade(target: Target, *, as_sql: bool, after: int | None, as_json: bool) -> int:
    """Bring an installed schema up to this release.

    Safe while workers run: locks are short, and are waited for in slices.
    """
    if after is not None and not as_sql:
        raise click.UsageError("--from belongs to --sql")
    if after is not None:
        return _print_sql(schema.sql(target.names, after=after), as_json)
    async with target.connection() as conn:
        before = await schema.status(conn, target.names)
        if before.found == 0:
            raise SchemaMissingError(target.names.schema)
        if as_sql:
            return _print_sql(schema.sql(target.names, after=before.found), as_json)
        applied = await schema.upgrade(conn, target.names)
        return _print_applied(applied, await schema.status(conn, target.names), as_json)


@click.command(epilog=examples("powertools uninstall --yes"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@answering
async def uninstall(target: Target, *, yes: bool, as_json: bool) -> int:
    """Drop the schema and all workflows; Oban's jobs stay.

    Asks for the schema's name first. Without a terminal it needs --yes.
    """
    async with target.connection() as conn:
        found = await schema.status(conn, target.names)
        if found.found == 0:
            raise StoppedError(
                f"nothing to uninstall: schema {found.schema!r} is not installed in {describe(conn.info.dsn)}",
                Exit.NOT_FOUND,
            )
        unfinished = await _count_unfinished(conn, target.names, found)
        if not yes:
            _ask(found.schema, describe(conn.info.dsn), unfinished)
        await schema.uninstall(conn, target.names)
    if as_json:
        print_json({"schema": found.schema, "uninstalled": True, "unfinished_workflows": unfinished})
    else:
        click.echo(f"dropped schema {found.schema}; Oban's tables and jobs in schema {target.names.prefix} stay")
    return Exit.DONE


@click.command(epilog=examples("powertools status || powertools upgrade"))
@answering
async def status(target: Target, *, as_json: bool) -> int:
    """Show what is installed beside what this release needs.

    Exit code 6 when something is to be done, 0 when all is well.
    """
    async with target.connection() as conn:
        found, where = await schema.status(conn, target.names), describe(conn.info.dsn)
    if as_json:
        print_json({"schema": _status_json(found)})
    else:
        print_facts(
            {
                "database": where,
                "schema": found.schema,
                "installed": f"version {found.found}" if found.found else "no",
                "this release": f"version {found.expected}",
                "pending": ", ".join(found.pending),
                "Oban's tables": f"in schema {target.names.prefix}" if found.oban_installed else "missing",
                "to do": _next_command(found),
            }
        )
    return Exit.FINDINGS if _next_command(found) else Exit.DONE


def _next_command(found: SchemaStatus) -> str:
    if found.found == 0 or not found.oban_installed:
        return "powertools install"
    if found.found > found.expected:
        return "install a newer oban-powertools"
    return "powertools upgrade" if found.pending else ""


def _status_json(found: SchemaStatus) -> dict[str, object]:
    return {
        "name": found.schema,
        "found": found.found,
        "expected": found.expected,
        "pending": found.pending,
        "oban_installed": found.oban_installed,
        "current": not _next_command(found),
    }


def _print_applied(applied: list[str], after: SchemaStatus, as_json: bool) -> int:
    if as_json:
        print_json({"schema": _status_json(after), "applied": applied})
        return Exit.DONE
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f"schema {after.schema} is at version {after.found}{'' if applied else ', nothing to do'}")
    return Exit.DONE


def _print_sql(sql: str, as_json: bool) -> int:
    if as_json:
        print_json({"sql": sql})
    elif sql:
        click.echo(sql)
    else:
        note("nothing to do: the schema is up to date")
    return Exit.DONE


def _oban_sql(names: Names) -> str:
    # Oban looks for its type in current_schema(), as schema.install knows.
    return (
        "-- Run all of this in one transaction.\n"
        f"CREATE SCHEMA IF NOT EXISTS {names.prefix};\n"
        f"SET LOCAL search_path TO {names.prefix};\n"
        f"{install_sql(names.prefix)}\n"
        "SET LOCAL search_path TO DEFAULT;\n\n"
    )


async def _count_unfinished(conn: Connection, names: Names, found: SchemaStatus) -> int | None:
    """At most MANY; None where the tables are those of another release."""
    if found.found != found.expected:
        return None
    states = (WorkflowState.RUNNING, WorkflowState.CANCEL_REQUESTED)
    lists = [await reads.list_workflows(conn, Queries(names), state=state, limit=MANY) for state in states]
    return min(sum(map(len, lists)), MANY)


def _ask(name: str, where: str, unfinished: int | None) -> None:
    at_least = "at least " if unfinished == MANY else ""
    lost = "all workflows" if unfinished is None else f"all workflows ({at_least}{unfinished} unfinished)"
    if not sys.stdin.isatty():
        raise click.UsageError(f"nobody to ask, no terminal: pass --yes to drop schema {name!r} with {lost}")
    note(f"This drops schema {name} in {where} with {lost}.")
    note("Oban's tables and jobs stay; no step that still waits will ever be released.")
    if click.prompt("Type the schema's name to go on", default="", show_default=False, err=True) != name:
        raise StoppedError("the name was not typed, nothing changed", Exit.CONFLICT)
