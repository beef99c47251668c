"""``demo``: the command, and the hidden commands that its worker processes run."""

import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

import click

from ..cli.exits import Exit, StoppedError
from ..cli.groups import examples
from ..cli.target import Directory
from . import console
from .database import open_database
from .run import run_demo
from .workers import work

_FOLDER: Final = Directory(file_okay=False, writable=True, path_type=Path)


@click.group(
    invoke_without_command=True,
    subcommand_metavar="",
    epilog=examples("powertools demo", "powertools demo --fresh --report /tmp/census"),
)
@click.option("--report", type=_FOLDER, default=Path("demo-report"), show_default=True, help="Write the report here.")
@click.option("--data", type=_FOLDER, help="Data directory of the embedded PostgreSQL.")
@click.option("--fresh", is_flag=True, help="Forget what earlier runs left.")
@click.option("--no-console", is_flag=True, help="End without the console.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.pass_context
def demo(ctx: click.Context, report: Path, data: Path | None, fresh: bool, no_console: bool) -> None:
    """Watch a real workflow on two workers, one of them killed on the way.

    It counts what is in Python's standard library, on an embedded PostgreSQL of its own (extra embedded), and touches
    no other database. What it did not finish, its next run goes on with. At a terminal it ends by serving the console
    (extra web), with an incident to repair, until Ctrl+C.
    """
    ctx.obj = data
    _hush(logging.getLogger("oban_powertools"), ctx)
    if ctx.invoked_subcommand is not None:
        return
    try:
        report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoppedError(str(error), Exit.FAILED) from error
    try:
        asyncio.run(run_demo(report.resolve(), data, fresh=fresh, with_console=not no_console and _has_console()))
    except KeyboardInterrupt:
        click.echo("\ninterrupted: the next run goes on from here", err=True)
        raise


@demo.command(hidden=True)
@click.pass_obj
def worker(data: Path | None) -> None:
    """Be one of the demo's workers until standard input ends."""
    asyncio.run(work(data))


@demo.command(hidden=True, context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def powertools(data: Path | None, arguments: tuple[str, ...]) -> int:
    """Run a powertools command on the demo's database, which is up only as long as somebody uses it."""

    async def call() -> int:
        async with open_database(data) as dsn:
            process = await asyncio.create_subprocess_exec(sys.argv[0], *arguments, env={**os.environ, "OBAN_DSN": dsn})
            return await process.wait()

    return asyncio.run(call())


def _has_console() -> bool:
    """Whether somebody is there to leave it again, and it is installed."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    if not console.is_installed():
        click.echo("the console needs the extra web: pip install 'oban-powertools[web]'", err=True)
        return False
    return True


def _hush(logger: logging.Logger, ctx: click.Context) -> None:
    """Of a rescue the screen tells."""
    ctx.call_on_close(partial(logger.setLevel, logger.level))
    logger.setLevel(logging.ERROR)
