"""``install``, ``upgrade`` and ``status``: manage the schema from the command line.

``--sql`` prints exactly what the command itself would run.
"""

import click

from .. import schema
from ..database import Queries, Session, describe_dsn
from ..errors import SchemaMissingError
from ..schema import SchemaStatus
from ..upkeep.settings import find_apart
from .exits import Exit
from .forms import Form
from .groups import examples
from .next_commands import command_line
from .output import note, print_facts, print_json, say, say_lines
from .target import Database, answering


@click.command(
    epilog=examples(
        "powertools install --dsn postgresql://localhost/myapp", "powertools install --sql --with-oban > install.sql"
    )
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL for a migration of your own; changes nothing.")
@click.option("--with-oban", is_flag=True, help="With --sql: begin with the SQL of Oban's own tables.")
@answering
async def install(target: Database, *, as_sql: bool, with_oban: bool, form: Form) -> int:
    """Install the schema, and Oban's tables where they are missing.

    Repeating it changes nothing. --sql needs no database.
    """
    if as_sql:
        oban = schema.oban_script(target.names) if with_oban else ""
        return _print_sql(oban + schema.sql(target.names), form)
    if with_oban:
        raise click.UsageError("--with-oban belongs to --sql; install brings Oban's tables by itself")
    async with target.connection(create=True) as conn:
        before = await schema.status(conn, target.names)
        applied = await schema.install(conn, target.names)
        after = await schema.status(conn, target.names)
    if not before.oban_installed and not form.is_json:
        say(f"installed Oban's tables in schema {target.names.prefix}")
    return _print_applied(applied, after, form)


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
async def upgrade(target: Database, *, as_sql: bool, after: int | None, form: Form) -> int:
    """Bring an installed schema up to this release.

    Safe while workers run: locks are held briefly, and waited for in short slices.
    """
    if after is not None and not as_sql:
        raise click.UsageError("--from belongs to --sql")
    if after is not None:
        return _print_sql(schema.sql(target.names, after=after), form)
    async with target.connection() as conn:
        before = await schema.status(conn, target.names)
        schema.refuse_unknown(before)
        if before.found == 0:
            raise SchemaMissingError(target.names.schema)
        if as_sql:
            return _print_sql(schema.sql(target.names, after=before.found), form)
        applied = await schema.upgrade(conn, target.names)
        return _print_applied(applied, await schema.status(conn, target.names), form)


@click.command(epilog=examples("powertools status || powertools upgrade"))
@answering
async def status(target: Database, *, form: Form) -> int:
    """Show what is installed beside what this release needs.

    Names settings that differ between a process's start and the database; powertools doctor says more. Exit code 6 when
    there is something to do, 0 when all is well.
    """
    async with target.connection() as conn:
        record, database = await schema.status(conn, target.names), describe_dsn(conn.info.dsn)
        session = Session(conn, Queries(target.names))
        apart = await find_apart(session) if record.found == record.expected and not record.strangers else []
    if form.is_json:
        print_json({"schema": _status_json(record), "settings_apart": apart}, form)
    else:
        print_facts(
            {
                "database": database,
                "schema": record.schema,
                "installed": f"version {record.found}" if record.found else "no",
                "this release": f"version {record.expected}",
                "works from": f"version {record.compatible_from}" if record.is_newer else "",
                "pending": ", ".join(record.pending),
                "unknown": f"migrations {', '.join(record.strangers)}" if record.strangers else "",
                "settings": f"processes were started with other ones: {', '.join(apart)}" if apart else "",
                "Oban's tables": f"in schema {target.names.prefix}" if record.oban_installed else "missing",
                "to do": _next_command(record),
            }
        )
    return Exit.FINDINGS if _next_command(record) else Exit.DONE


def _next_command(record: SchemaStatus) -> str:
    if record.strangers:
        return (
            "it cannot be upgraded: let its workflows end with the version that made it, then "
            f"{command_line('uninstall')} and {command_line('install')}"
        )
    if record.found == 0 or not record.oban_installed:
        return command_line("install")
    if record.is_too_new:
        return f"install a newer oban-powertools, for version {record.compatible_from} at least"
    return command_line("upgrade") if record.pending else ""


def _status_json(record: SchemaStatus) -> dict[str, object]:
    return {"name": record.schema, **record.to_dict(), "current": not _next_command(record)}


def _print_applied(applied: list[str], after: SchemaStatus, form: Form) -> int:
    if form.is_json:
        print_json({"schema": _status_json(after), "applied": applied}, form)
        return Exit.DONE
    for name in applied:
        say(f"applied {name}")
    say(f"schema {after.schema} is at version {after.found}{'' if applied else ', nothing to do'}")
    return Exit.DONE


def _print_sql(sql: str, form: Form) -> int:
    if form.is_json:
        print_json({"sql": sql}, form)
    elif sql:
        say_lines(sql)
    else:
        note("nothing to do: the schema is up to date")
    return Exit.DONE
