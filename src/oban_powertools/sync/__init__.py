"""Every call of ``Calls`` for programs without an event loop.

The calls are not written twice: each runs the asynchronous one on a connection that blocks.
"""

from .calls import Calls, open_calls
from .waiting import Subscription, WorkflowHandle

__all__ = ["Calls", "Subscription", "WorkflowHandle", "open_calls"]
