"""Numbers about the whole database, for whoever exports them: what is open now, and what has happened since.

Not for what this process does itself, which ``telemetry`` tells. The rule that must never break: reading is bounded in
rows and time, goes by indexes, and writes nothing.
"""

from .gauges import GAUGES, Gauge, Reading
from .metrics import SOURCES, Metrics, Readings
from .tally import Counts, Tally

__all__ = ["GAUGES", "SOURCES", "Counts", "Gauge", "Metrics", "Reading", "Readings", "Tally"]
