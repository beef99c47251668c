"""Every call of ``Calls`` for programs without an event loop.

The calls are not written twice: each runs the asynchronous one on a connection that blocks.
"""

from .calls import SyncCalls, open_sync_calls
from .connections import SyncSource
from .facades import (
    SyncAudit,
    SyncEvents,
    SyncExplain,
    SyncJobs,
    SyncLifeline,
    SyncMetrics,
    SyncQueues,
    SyncSharedSettings,
    SyncWebhooks,
    SyncWorkflows,
)
from .inside import current_sync_calls
from .waiting import SyncSubscription, SyncWorkflowHandle

__all__ = [
    "SyncAudit",
    "SyncCalls",
    "SyncEvents",
    "SyncExplain",
    "SyncJobs",
    "SyncLifeline",
    "SyncMetrics",
    "SyncQueues",
    "SyncSharedSettings",
    "SyncSource",
    "SyncSubscription",
    "SyncWebhooks",
    "SyncWorkflowHandle",
    "SyncWorkflows",
    "current_sync_calls",
    "open_sync_calls",
]
