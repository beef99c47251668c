"""Server-sent events: the live stream of events for browsers, as an ASGI app that a web application mounts.

Needs the extra ``sse``. Not for the events themselves, which ``powertools.events`` reads. The rule that must never
break: nobody gets an event that the host's ``authorize`` did not allow.
"""

from ...errors import ExtraMissingError

try:
    from .app import AuthorizeEvents, EventsApp, events_app
    from .limits import StreamLimits
except ModuleNotFoundError as _error:
    raise ExtraMissingError("sse", _error.name or "") from _error

__all__ = ["AuthorizeEvents", "EventsApp", "StreamLimits", "events_app"]
