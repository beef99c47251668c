"""``roles``: print the SQL of the database roles for running programs.

It only prints: the owner of the database grants the rights.
"""

import click

from ..schema import roles_sql
from .exits import Exit
from .forms import Form, formatted
from .groups import examples
from .output import print_json, say_lines
from .target import Database, on_database


@click.command(
    epilog=examples(
        "powertools roles > roles.sql", "powertools roles --run myapp_jobs --read myapp_dashboards > roles.sql"
    )
)
@click.option("--run", default="powertools_run", show_default=True, metavar="NAME", help="Role of workers.")
@click.option("--read", default="powertools_read", show_default=True, metavar="NAME", help="Role of who only looks.")
@on_database
@formatted
def roles(target: Database, *, run: str, read: str, form: Form) -> int:
    """Print the SQL that creates and grants the roles for running and for reading. Needs no database.

    Run it as the role that installs and upgrades, after each of the two.
    """
    sql = roles_sql(target.names, run=run, read=read)
    if form.is_json:
        print_json({"sql": sql}, form)
    else:
        say_lines(sql)
    return Exit.DONE
