"""Retention: records that are removed when their time is over, and what is kept of them.

The rule that must never break: nothing is removed that something still needs, and nothing that is to be archived is
removed without being archived in the same transaction (retention/P1 and P2).
"""

from .records import PruneRun, RecordClass, RetainedClass, RetentionStatus
from .retention import Retention
from .schedule import RetentionSweep
from .tables import TABLES

__all__ = ["TABLES", "PruneRun", "RecordClass", "RetainedClass", "Retention", "RetentionStatus", "RetentionSweep"]
