"""Metrics for Prometheus: a collector for the host's own registry, and an ASGI app that answers scrapes.

Needs the extra ``prometheus``. The rule that must never break: no label has a value that a user chose.
"""

from ...errors import ExtraMissingError

try:
    from .app import App, Message, metrics_app
    from .collector import PowertoolsCollector
except ModuleNotFoundError as _error:
    raise ExtraMissingError("prometheus", _error.name or "") from _error

__all__ = ["App", "Message", "PowertoolsCollector", "metrics_app"]
