"""FastAPI: Powertools in the lifespan, calls as a dependency, errors as problems, the console and events mounted.

Needs the extra ``fastapi``. A door that opens others: the console (``web``), events (``sse``), calls without an event
loop (``sync``). No rule is here. The rule that must never break: who acts is whom the application's login says.
"""

from ...errors import ExtraMissingError

try:
    from .errors import handle_errors
    from .powertools import FastAPIPowertools
except ModuleNotFoundError as _error:
    if (_error.name or "").startswith("oban_powertools"):
        raise
    raise ExtraMissingError("fastapi", _error.name or "") from _error

__all__ = ["FastAPIPowertools", "handle_errors"]
