"""Server-sent events: the live stream of events for browsers, as an ASGI app that a web application mounts.

Needs the extra ``sse``. ``powertools.events`` reads the events. The rule that must never break: a client gets only
events that the host's ``authorize`` has allowed.
"""

from ...errors import ExtraMissingError

try:
    from .app import AuthorizeEvents, EventsApp, events_app
    from .limits import StreamLimits
except ModuleNotFoundError as _error:
    raise ExtraMissingError("sse", _error.name or "") from _error

__all__ = ["AuthorizeEvents", "EventsApp", "StreamLimits", "events_app"]
