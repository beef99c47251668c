"""The surfaces: the doors through which an actor comes."""

from enum import StrEnum

from ...arguments import as_word, refuse


class Surface(StrEnum):
    """Through which door an actor came."""

    API = "api"
    CLI = "cli"
    WEB = "web"
    MCP = "mcp"
    SYSTEM = "system"


def as_surface(source: str) -> Surface:
    """The surface of this name.

    Raises:
        InvalidArgumentError: There is no such door, or it is that of Powertools itself.
    """
    surface = as_word("source", source, Surface)
    if surface is Surface.SYSTEM:
        raise refuse("source", "system", "api, cli, web or mcp: 'system' is Powertools itself")
    return surface
