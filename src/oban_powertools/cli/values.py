"""Parse values typed on the command line: durations, JSON, actor and reason."""

import getpass
import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from ..acts import SHORTEST_REASON
from ..database.json_border import read_json
from ..times import parse_span
from .importing import find_authorize
from .next_commands import Repeated


def parse_duration(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    """A duration with its unit: ``90s``, ``30m``, ``2h``, ``1d``; at most ten years.

    Raises:
        BadParameter: It is no such duration.
    """
    span = parse_span(value)
    if span is None:
        raise click.BadParameter(f"{value!r} is not a duration: 90s, 30m, 2h or 1d, at most 3650d", ctx, param)
    return span


def parse_json(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Parse a JSON document; None when the option is absent.

    Raises:
        BadParameter: It is not JSON, or holds what cannot be kept as it is.
    """
    if value is None:
        return None
    try:
        return read_json(value)
    except json.JSONDecodeError as error:
        hint = "text needs its own quotes, as in '\"yes\"'"
        raise click.BadParameter(f"it is not JSON ({error}); {hint}", ctx, param) from None
    except ValueError as error:
        raise click.BadParameter(f"it cannot be kept as it is: {error}", ctx, param) from None


def this_user() -> str:
    """The user at the command line, ``user@host``, from the operating system."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


payload_option: Final = click.option("--payload", callback=parse_json, metavar="JSON", help="What it carries, as JSON.")


def parse_instant(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """An instant, in UTC unless it says otherwise: ``2026-11-21``, ``2026-11-21T09:00Z``; None when it is absent.

    Raises:
        BadParameter: It is none.
    """
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not an instant: 2026-11-21 or 2026-11-21T09:00Z", ctx, param) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def find_duration(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    """As ``parse_duration``; None when the option is absent."""
    return None if value is None else parse_duration(ctx, param, value)


hold_for_option: Final = click.option(
    "--for", "hold_for", callback=find_duration, metavar="DURATION", help="How long, of a hold: 90s, 30m, 2h or 1d."
)

_ACTOR: Final = click.option(
    "--actor",
    cls=Repeated,
    envvar="POWERTOOLS_ACTOR",
    show_envvar=True,
    default=this_user,
    help="Who acts.  [default: user@host]",
)
_REASON: Final = click.option(
    "--reason",
    required=True,
    help=f"Why, in {SHORTEST_REASON} characters at least: kept with the command, for whoever asks later.",
)


authorize_option: Final = click.option(
    "--authorize",
    cls=Repeated,
    envvar="POWERTOOLS_AUTHORIZE",
    show_envvar=True,
    callback=find_authorize,
    metavar="MODULE:NAME",
    help="Ask this policy of yours.  [default: authorize of [powertools] in oban.toml, else who has the DSN may]",
)


def acting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--actor`` and ``--authorize``: who acts, and which policy decides."""
    return _ACTOR(authorize_option(command))


def accounted(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every change by an operator needs: those of ``acting``, and ``--reason``."""
    return _REASON(acting(command))
