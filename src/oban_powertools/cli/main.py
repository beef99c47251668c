"""The root of the command, and how it ends: one line of error and an exit code, never a stray traceback."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import click
import psycopg

from ..database.sqlstates import Trouble, find_trouble
from ..errors import PowertoolsError
from ..privacy.logs import said, told
from ..privacy.redaction import redacted
from .audit_commands import audit
from .bulk_commands import bulk
from .doctor_commands import check, doctor
from .event_commands import events
from .executor_commands import executors
from .exits import Exit, StoppedError, find_exit_code
from .groups import Group, examples
from .incident_commands import incidents
from .job_commands import job
from .output import say, say_lines
from .repair_commands import repair
from .retention_commands import retention
from .roles_command import roles
from .schema_commands import install, status, upgrade
from .signal_command import signal
from .start_command import start
from .uninstall_command import uninstall
from .webhook_commands import webhooks
from .workflow_commands import workflow


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "export OBAN_DSN=postgresql://localhost/myapp",
        "powertools install",
        "powertools start --queues default:20 --import myapp.workers",
        "powertools workflow list --state running",
    ),
)
@click.version_option(package_name="oban-powertools")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.pass_context
def powertools(ctx: click.Context) -> None:
    """Durable workflows for applications that run their jobs on Oban.

    The database is named by --dsn, OBAN_DSN or dsn in oban.toml, as for oban itself.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


for command in (
    install, upgrade, uninstall, status, start, workflow, job, signal, events, executors, incidents, audit,
    roles, webhooks, doctor, check, retention, repair, bulk,
):  # fmt: skip
    powertools.add_command(command)


def main() -> None:
    """Run ``powertools`` on the arguments of this process, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns:
        Its exit code, one of ``Exit``. Data went to stdout, everything else to stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name in a script that the terminal cannot show is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = powertools.main(list(arguments), prog_name="powertools", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the top of the command
        return _report(error, debug="--debug" in arguments)
    return code or Exit.DONE


def _report(error: BaseException, *, debug: bool) -> Exit:
    code = find_exit_code(error)
    if code is Exit.BROKEN_PIPE:
        # Who read us has left; the interpreter must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    if debug:
        say_lines(told(error), err=True)
    if code is not Exit.INTERRUPTED:
        first, *more = redacted(_sentence(error)).split("\n")
        say(f"error: {first}", err=True)
        for line in more:
            # Indented where a text from the database made the line, it cannot pass for one of ours.
            say(f"  {line.removeprefix('  ')}", err=True)
    return Exit.FAILED if code is None else code


def _sentence(error: BaseException) -> str:
    match error:
        case click.UsageError():
            hint = f" (see {error.ctx.command_path} -h)" if error.ctx else ""
            return error.format_message().rstrip(".") + hint
        case click.ClickException():
            return error.format_message()
        case PowertoolsError() | StoppedError():
            return str(error)
        case psycopg.errors.InsufficientPrivilege():
            return f"the database refused: {_first_line(error)}"
        case psycopg.Error() if find_trouble(error) is not Trouble.REFUSED:
            return f"the database failed: {_first_line(error)}"
        case _:
            return f"unexpected {type(error).__name__}: {_first_line(error)} (--debug shows where)"


def _first_line(error: BaseException) -> str:
    return next(iter(said(error).splitlines()), "no message")
