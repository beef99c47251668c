"""Server-sent events: the live stream of events for browsers, as an ASGI app that a web application mounts.

Needs the extra ``sse``. Not for the events themselves, which ``powertools.events`` reads. The rule that must never
break: nobody gets an event that the host's ``authorize`` did not allow.
"""

from ...errors import ExtraMissingError

try:
    from .app import EventsApp, events_app
    from .limits import StreamLimits
except ModuleNotFoundError as error:
    raise ExtraMissingError("sse", error.name or "") from error

__all__ = ["EventsApp", "StreamLimits", "events_app"]
