"""The doctor: is this database sound, and is it configured as it should be?

Not for the code that is about to run on it (``deploy_check``). The rule that must never break: a check that could not
run never passes for one that found nothing.
"""

from ...schema import SchemaStatus
from .doctor import examine
from .finding import Broken, Finding, Level, Report

__all__ = ["Broken", "Finding", "Level", "Report", "SchemaStatus", "examine"]
