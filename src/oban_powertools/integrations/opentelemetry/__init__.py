"""Traces for OpenTelemetry: one trace per workflow, from its insert to the last attempt of its last step.

Needs the extra ``opentelemetry``. The rule that must never break: a span has the attributes of ``ATTRIBUTES`` and no
others, so no id, argument, worker's name or error text leaves the process.
"""

from ...errors import ExtraMissingError

try:
    from .attributes import ATTRIBUTES
    from .tracing import Tracing
except ModuleNotFoundError as _error:
    raise ExtraMissingError("opentelemetry", _error.name or "") from _error

__all__ = ["ATTRIBUTES", "Tracing"]
