"""Retention: remove records when their time is over, and archive some of them.

The rule that must never break: nothing is removed that something still needs, and what is to be archived is removed
only in the transaction that archives it (retention/P1 and P2).
"""

from .records import PruneRun, RecordClass, RetainedClass, RetentionStatus
from .retention import Retention
from .schedule import RetentionSweep
from .tables import TABLES

__all__ = ["TABLES", "PruneRun", "RecordClass", "RetainedClass", "Retention", "RetentionStatus", "RetentionSweep"]
