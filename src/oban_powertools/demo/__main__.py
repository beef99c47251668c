"""The demo's command line."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import click

from .. import PowertoolsError
from .database import open_database
from .live import DemoError
from .run import run
from .workers import work

INTERRUPTED: Final = 130
"""As a shell reports a program ended by SIGINT."""

_DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--report", type=_DIRECTORY, default=Path("demo-report"), show_default=True, help="Folder for the report."
)
@click.option("--data", type=_DIRECTORY, help="Data directory of the embedded PostgreSQL.")
@click.option("--fresh", is_flag=True, help="Forget what earlier runs left.")
@click.pass_context
def main(context: click.Context, report: Path, data: Path | None, fresh: bool) -> None:
    """Count what is in Python's standard library as one workflow on two worker processes, of which one is killed."""
    context.obj = data
    if context.invoked_subcommand is not None:
        return
    try:
        asyncio.run(run(report.resolve(), data, fresh=fresh))
    except KeyboardInterrupt:
        click.echo("\ninterrupted: the next run goes on from here", err=True)
        sys.exit(INTERRUPTED)
    except (DemoError, PowertoolsError, LookupError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command(hidden=True)
@click.pass_obj
def worker(data: Path | None) -> None:
    """Be one of the demo's workers until standard input ends."""
    asyncio.run(work(data))


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def powertools(data: Path | None, arguments: tuple[str, ...]) -> None:
    """Run a powertools command on the demo's database, which is up only as long as somebody uses it."""
    sys.exit(asyncio.run(_powertools(data, arguments)))


async def _powertools(data: Path | None, arguments: tuple[str, ...]) -> int:
    program = Path(sys.executable).with_name("powertools")
    async with open_database(data) as dsn:
        process = await asyncio.create_subprocess_exec(program, *arguments, env={**os.environ, "OBAN_DSN": dsn})
        return await process.wait()


if __name__ == "__main__":
    main(prog_name="python -m oban_powertools.demo")
