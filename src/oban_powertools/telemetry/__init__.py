"""The telemetry that Powertools emits through ``oban.telemetry``: names, fields, and how they are emitted.

No I/O; exporters are ``prometheus`` and ``opentelemetry``. The rule that must never break: an event has the fields
listed for it and no others, so no id, argument, worker's name or free text leaves the process.
"""

from .emitting import Value, anybody_listens, execute, span
from .names import ACTIONS, BUCKETS, EVENTS, TRACE_META, WORDS, Name

__all__ = ["ACTIONS", "BUCKETS", "EVENTS", "TRACE_META", "WORDS", "Name", "Value", "anybody_listens", "execute", "span"]
