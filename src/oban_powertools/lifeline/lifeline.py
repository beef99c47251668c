"""The class behind ``powertools.lifeline``; each part defines its own calls, with their docstrings."""

from ..runtime.executors import Executors
from ..upkeep.retention import Retention
from .incidents import Incidents
from .repairs import Bulks, Repairs


class Lifeline(Executors, Incidents, Repairs, Bulks, Retention):
    """Which executors live, what became of those that do not, and the repair of what is broken."""
