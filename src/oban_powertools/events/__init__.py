"""Events: everything that happens to workflows, read from the log or live.

The log is in the database; a notification only says that there is something to read (invariant/I5).
"""

from .events import Events
from .subscription import ReadOn, Subscription
from .types import Cursor, Event, StepChange, StepUpdated, WorkflowFinished

__all__ = ["Cursor", "Event", "Events", "ReadOn", "StepChange", "StepUpdated", "Subscription", "WorkflowFinished"]
