"""Name an incident on the command line: by its id or its fingerprint, with ``--incident`` wherever one is meant."""

import functools
from collections.abc import Callable
from typing import Any, Final

import click

incident_option: Final = click.option(
    "--incident", metavar="INCIDENT", help="The incident that it is for, by its id or its fingerprint."
)


def on_incident(following: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the argument ``INCIDENT``, which ``--incident`` may stand for; the command gets ``incident``.

    Args:
        following: The name of the argument behind it; with ``--incident`` it is the first one.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.argument("incident", metavar="INCIDENT", required=False)
        @click.option("--incident", "named", metavar="INCIDENT", help="The incident, instead of the argument.")
        @functools.wraps(command)
        def run(*, incident: str | None, named: str | None, **arguments: Any) -> Any:
            if named is not None and following is not None and arguments[following] is None:
                incident, arguments[following] = None, incident
            if (incident is None) == (named is None):
                raise click.UsageError("name one incident, by its id or its fingerprint: INCIDENT or --incident")
            return command(incident=named or incident, **arguments)

        return run

    return add
