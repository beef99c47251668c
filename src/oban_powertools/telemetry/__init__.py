"""What Powertools tells of itself while it works, through ``oban.telemetry``: names, fields, and how they are emitted.

For naming and emitting only, no I/O; exporters are ``prometheus`` and ``opentelemetry``. The rule that must never
break: an event has the fields listed for it and no others, so no id, argument, worker's name or free text gets out.
"""

from .emitting import Value, anybody_listens, execute, span
from .names import ACTIONS, BUCKETS, EVENTS, TRACE_META, WORDS, Name

__all__ = ["ACTIONS", "BUCKETS", "EVENTS", "TRACE_META", "WORDS", "Name", "Value", "anybody_listens", "execute", "span"]
