"""Events: everything that happens to workflows, read from the log or live.

The log is in the database; a notification only says that there is something to read (invariant/I5).
"""

from .events import Events
from .notices import (
    ExecutorChange,
    ExecutorUpdated,
    IncidentChange,
    IncidentUpdated,
    Notice,
    RepairEnded,
    RetentionRan,
)
from .subscription import ReadOn, Subscription
from .topics import AnyEvent, Topic, TopicKind
from .types import Cursor, Event, StepChange, StepUpdated, WorkflowFinished

__all__ = [
    "AnyEvent",
    "Cursor",
    "Event",
    "Events",
    "ExecutorChange",
    "ExecutorUpdated",
    "IncidentChange",
    "IncidentUpdated",
    "Notice",
    "ReadOn",
    "RepairEnded",
    "RetentionRan",
    "StepChange",
    "StepUpdated",
    "Subscription",
    "Topic",
    "TopicKind",
    "WorkflowFinished",
]
