"""The root command. It imports a group's module when one of the group's commands is called."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

import click

from .exits import Exit
from .groups import LazyGroup, examples
from .program import USUAL, called

COMMANDS: Final = {
    "install": ("schema_commands", "Install the schema, and Oban's tables where they are missing."),
    "upgrade": ("schema_commands", "Bring an installed schema up to this release."),
    "uninstall": ("uninstall_command", "Drop the schema and all workflows; Oban's jobs stay."),
    "status": ("schema_commands", "Show what is installed beside what this release needs."),
    "start": ("start_command", "Run workers until a signal says stop."),
    "workflow": ("workflow_commands", "See workflows, and change them."),
    "job": ("job_commands", "See jobs, of steps or plain; changes nothing."),
    "queues": ("queue_commands", "Look at queues; changes nothing."),
    "queue": ("queue_commands", "Pause, resume and scale a queue, by Oban's own signals."),
    "signal": ("signal_command", "Deliver a signal to the step that waits for it; the payload is the step's result."),
    "signals": ("signals_commands", "Look at stored signals and open waits; changes nothing."),
    "watch": ("watch_command", "Watch open incidents, executors and queues on one screen, until Ctrl+C."),
    "events": ("event_commands", "Follow what happens, live."),
    "executors": ("executor_commands", "Look at executors: one for each queue of each process; changes nothing."),
    "incidents": ("incident_commands", "See what is broken, one incident per cause, and record who takes care of it."),
    "audit": ("audit_commands", "Look at what was done, by whom and why."),
    "roles": ("roles_command", "Print the SQL that creates and grants the roles for running and for reading."),
    "webhooks": ("webhook_commands", "Send events to other systems."),
    "doctor": ("doctor_commands", "Examine the database and its configuration; changes nothing."),
    "check": ("doctor_commands", "Compare the work under way with the code about to be deployed; changes nothing."),
    "retention": ("retention_commands", "See how long records are kept, and remove what is older."),
    "settings": ("settings_commands", "See and change the settings that are equal on all nodes."),
    "repair": ("repair_commands", "Repair what is broken: preview a repair, then execute exactly that."),
    "bulk": ("bulk_commands", "Repair up to 1,000 targets: list them, then repair them one by one."),
    "web": ("web_command", "Serve the console, until a signal says stop."),
    "password": ("password_command", "Set the password of a user in the password file of powertools web."),
    "mcp": ("mcp_command", "Give an agent the tools of an operator: it reads and previews, a person executes."),
    "completion": ("completion_command", "Print what completes commands and options in bash, zsh or fish."),
    "openapi": ("openapi_command", "Print the OpenAPI 3.1 document of the JSON API."),
    "demo": ("..demo.command", "Watch a real workflow on two workers, one of them killed on the way."),
}
"""Command -> the module that defines it (beside this one, or relative with dots), and its line in the help."""


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
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


def main() -> None:
    """Run ``powertools`` on the arguments of this process, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str], program: str = USUAL) -> int:
    """Run one command.

    Args:
        program: What was typed before the arguments, for the commands that it prints.

    Returns:
        Its exit code, one of ``Exit``. Data went to stdout, everything else to stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A character that the terminal cannot show is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    with called(program, COMMANDS):
        try:
            code = powertools.main(list(arguments), prog_name=program, standalone_mode=False)
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the top of the command
            from .forms import form_of
            from .reporting import report

            return report(error, debug="--debug" in arguments, form=form_of(arguments))
        return code or Exit.DONE
