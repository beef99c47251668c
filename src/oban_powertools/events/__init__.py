"""Events: everything that happens to workflows, read from the log or as it comes.

The database is the log; a notification only says that there is something to read (invariant/I5).
"""

from .events import Events
from .subscription import ReadOn, Subscription
from .types import Cursor, Event, StepChange, StepUpdated, WorkflowFinished

__all__ = ["Cursor", "Event", "Events", "ReadOn", "StepChange", "StepUpdated", "Subscription", "WorkflowFinished"]
