"""Ask for confirmation of severe acts: one rule for every command.

A person at the terminal is asked. A script passes ``--yes`` where the command names its target, and the target's name
where the command has only a token.
"""

import sys
from collections.abc import Callable

import click

from ..acts import Action, Severity
from .exits import Exit, StoppedError
from .output import ask


def confirm(act: Action, confirmed: bool, option: str, question: Callable[[], str] | None = None) -> None:
    """Ask for confirmation of a severe act, or refuse it without one.

    Args:
        confirmed: Whether the command line confirms it.
        option: The option that a script has to add.
        question: The question for a person; None asks nobody.

    Raises:
        StoppedError: The person says no.
        UsageError: Nobody confirms it.
    """
    if act.row.severity is not Severity.SEVERE or confirmed:
        return
    if question is None or not sys.stdin.isatty():
        raise click.UsageError(f"{act} needs {option}")
    ask_person(question())


def ask_person(question: str) -> None:
    """Ask the person at the terminal; nobody where there is none.

    Raises:
        StoppedError: The person says no.
    """
    if sys.stdin.isatty() and not ask(question):
        raise StoppedError("not confirmed, nothing changed", Exit.CONFLICT)
