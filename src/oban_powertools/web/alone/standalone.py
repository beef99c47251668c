"""One app of one or several consoles, with what they have in common.

Not for who may do what: the policy is that of the calls.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp

from ..console import OpenCalls, create_console
from ..page import FindActor
from ..security import SecurityLayer
from .sites import RequestLines, Sites

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""Names by which a browser on this machine calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is the same on every console of a server."""

    actor: FindActor
    """Who is at the browser."""

    hosts: Collection[str]
    """Names by which browsers call it."""

    root_path: str = ""
    """The path that a proxy takes away."""

    environment: str | None = None
    """Beside the name."""

    read_only: bool = False
    """Whether nobody may change anything."""


class Standalone:
    """The app of ``powertools web``.

    Args:
        databases: Name -> what opens the calls on it. Several are each under their name; one alone is at the root.
        site: What they have in common.
    """

    def __init__(self, databases: Mapping[str, OpenCalls], site: Site) -> None:
        self.is_alone: bool = len(databases) == 1
        addresses = {} if self.is_alone else {name: f"{site.root_path}/{name}/" for name in databases}
        self._consoles = {
            name: create_console(
                opening,
                actor=site.actor,
                name=name,
                environment=site.environment,
                read_only=site.read_only,
                allowed_hosts=site.hosts,
                others={other: address for other, address in addresses.items() if other != name},
            )
            for name, opening in databases.items()
        }
        consoles = list(self._consoles.values())
        sites: ASGIApp = consoles[0] if self.is_alone else SecurityLayer(Sites(self._consoles), site.hosts)
        self._app = RequestLines(sites)

    @property
    def app(self) -> ASGIApp:
        """Answers every request, with a line in the log for each."""
        return self._app

    async def aclose(self) -> None:
        """Close what the consoles have opened."""
        for console in self._consoles.values():
            await console.aclose()
