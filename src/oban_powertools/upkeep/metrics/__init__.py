"""Numbers about the whole database, for exporters: what is open now, and what has happened since.

Not for what this process does itself (``telemetry``). A reading is bounded in rows and time, uses indexes, and writes
nothing.
"""

from .gauges import GAUGES, Gauge, Reading
from .metrics import SOURCES, Metrics, Readings
from .tally import Counts, Tally

__all__ = ["GAUGES", "SOURCES", "Counts", "Gauge", "Metrics", "Reading", "Readings", "Tally"]
