"""Metrics for Prometheus: a collector for a host's own registry, and an ASGI app that answers scrapes.

Needs the extra ``prometheus``. The rule that must never break: no label has a value that a user chose.
"""

from ...errors import ExtraMissingError

try:
    from .app import metrics_app
    from .collector import PowertoolsCollector
except ModuleNotFoundError as error:
    raise ExtraMissingError("prometheus", error.name or "") from error

__all__ = ["PowertoolsCollector", "metrics_app"]
