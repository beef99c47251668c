"""``manage.py powertools ...``: every command of ``powertools``, on the database of ``DATABASES``.

What the project's settings say is passed on as the environment of the command, which is also that of the processes it
starts; an option that is typed wins. ``start`` and ``check`` import the project's workers first.
"""

import argparse
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from .....cli.main import run
from ...checks import check_setting
from ...configuration import Configuration, configuration, find_dsn

_IMPORTING: Final = ("start", "check")
"""Commands that need the workers; they have ``--import``."""

_WORKERS: Final = "oban_powertools.integrations.django.workers"

_PROGRAM: Final = "manage.py powertools"
"""How people call it, for the commands that it prints."""

_OF_DJANGO: Final = ("--settings", "--pythonpath")
"""Options that every command of Django has; ``django-admin`` has read them."""


class Command(BaseCommand):
    """Hands everything over to the command ``powertools``."""

    help = "Run a command of powertools on this project's database, such as: start, web, workflow list, doctor."
    requires_system_checks: Any = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django calls it: the arguments are those of ``powertools``, not Django's."""
        sys.exit(_run(_without_djangos(argv[2:])))

    def add_arguments(self, parser: CommandParser) -> None:
        """For ``call_command``."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *_: Any, arguments: Sequence[str], **__: Any) -> None:
        """For ``call_command("powertools", "workflow", "list")``.

        Raises:
            CommandError: The command failed; its exit code is that of ``powertools``.
        """
        if code := _run(arguments):
            raise CommandError(f"powertools {' '.join(arguments)} failed", returncode=code)


def _run(arguments: Sequence[str]) -> int:
    if errors := check_setting():
        raise CommandError(str(errors[0].msg))
    name = next((each for each in arguments if not each.startswith("-")), "")
    at = arguments.index(name) + 1 if name in _IMPORTING else 0
    workers = ("--import", _WORKERS) if at else ()
    with _environment(configuration()):
        return run([*arguments[:at], *workers, *arguments[at:]], _PROGRAM)


@contextmanager
def _environment(said: Configuration) -> Generator[None]:
    """The environment that the command reads, for as long as it runs."""
    before = dict(os.environ)
    os.environ.update(_variables(said))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _variables(said: Configuration) -> dict[str, str]:
    found = {
        "OBAN_DSN": find_dsn(),
        "OBAN_PREFIX": said.names.prefix,
        "POWERTOOLS_SCHEMA": said.names.schema,
        "POWERTOOLS_SETTINGS": f"{_WORKERS}:settings",
    }
    if said.queues and "OBAN_QUEUES" not in os.environ:
        found["OBAN_QUEUES"] = ",".join(f"{name}:{limit}" for name, limit in said.queues.items())
    if said.display_path:
        found["POWERTOOLS_DISPLAY"] = ":".join(said.display_path.rsplit(".", 1))
    return found


def _without_djangos(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument in _OF_DJANGO:
            next(given, None)
        elif not argument.startswith(tuple(f"{option}=" for option in _OF_DJANGO)):
            kept.append(argument)
    return kept
