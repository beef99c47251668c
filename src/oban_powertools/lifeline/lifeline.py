"""The class behind ``powertools.lifeline``; each part defines its own calls, with their docstrings."""

from ..runtime.executors import Executors
from ..upkeep.retention import Retention
from .incidents import Incidents
from .repairs import Bulks, Previews, Repairs
from .upcoming import Coming


class Lifeline(Executors, Incidents, Repairs, Previews, Bulks, Retention, Coming):
    """The health of executors, incidents, and repairs."""
