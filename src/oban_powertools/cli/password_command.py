"""``password``: put a user into the password file of ``powertools web``, or give them another password.

The rule that must never break: a password is on no command line, and is not shown.
"""

import sys
from pathlib import Path

import click

from ..errors import ExtraMissingError
from .exits import Exit, StoppedError
from .groups import examples
from .output import say


@click.command(epilog=examples("powertools password operators.passwords ada"))
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("name", metavar="NAME")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def password(file: Path, name: str) -> int:
    """Set the password of a user in the password file of powertools web.

    It is asked for twice at a terminal, else read from standard input. A running console takes it over at once.
    """
    try:
        from ..web.alone.passwords import set_password
    except ModuleNotFoundError as error:
        raise ExtraMissingError("web", error.name or "") from error
    try:
        new = set_password(file, name, _ask())
    except OSError as error:
        raise StoppedError(f"cannot write {file}: {error}", Exit.FAILED) from error
    say(f"{name} has {'a' if new else 'another'} password in {file}")
    return Exit.DONE


def _ask() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("password", hide_input=True, confirmation_prompt="once more", err=True))
    return sys.stdin.readline().rstrip("\n")
