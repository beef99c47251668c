"""The web console: one ASGI app that a web application mounts under any path, or that ``powertools web`` serves alone.

Needs the extra ``web``. It is a door: it opens ``Calls`` and nothing else; no rule, no SQL and no policy of its own is
here. The rules that must never break: a page acts only by a POST of the same origin, and what it shows has passed the
display policy.
"""

from ..errors import ExtraMissingError

try:
    from .console import Console, create_console
    from .opening import OpenCalls
    from .page import FindActor
    from .rates import Rates
except ModuleNotFoundError as _error:
    if (_error.name or "").startswith("oban_powertools"):
        raise
    raise ExtraMissingError("web", _error.name or "") from _error

__all__ = ["Console", "FindActor", "OpenCalls", "Rates", "create_console"]
