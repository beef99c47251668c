"""Open the synchronous calls on a database, and close them."""

import atexit
from types import TracebackType
from typing import Any, Self

from ..config import Names, Settings
from ..operators.authorization import Authorize
from ..privacy.display import DisplayPolicy
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
from .runs import Runs, Wanted


class SyncCalls:
    """Every call, for a program without an event loop. Made by ``open_sync_calls``; any thread may call.

    A call blocks its thread. A child made by ``fork`` uses connections of its own from its first call on.
    """

    workflows: SyncWorkflows
    """Inserts, waits, reads and commands."""

    audit: SyncAudit
    """Lists and verifies who did what."""

    explain: SyncExplain
    """Explains workflows, steps and jobs."""

    events: SyncEvents
    """Reads, follows and publishes events."""

    metrics: SyncMetrics
    """Numbers about the whole database."""

    webhooks: SyncWebhooks
    """Sends events to other systems."""

    lifeline: SyncLifeline
    """Executors, incidents, repairs and retention."""

    shared_settings: SyncSharedSettings
    """Settings that are equal on all nodes."""

    queues: SyncQueues
    """Shows queues, and pauses, resumes and scales them."""

    jobs: SyncJobs
    """Finds jobs, of steps and plain ones."""

    def __init__(self, runs: Any) -> None:
        self._runs = runs
        self.workflows = SyncWorkflows(runs)
        self.audit = SyncAudit(runs)
        self.explain = SyncExplain(runs)
        self.events = SyncEvents(runs)
        self.metrics = SyncMetrics(runs)
        self.webhooks = SyncWebhooks(runs)
        self.lifeline = SyncLifeline(runs)
        self.shared_settings = SyncSharedSettings(runs)
        self.queues = SyncQueues(runs)
        self.jobs = SyncJobs(runs)

    def close(self) -> None:
        """Close the connections, as the end of the program does; later calls raise ``PowertoolsClosedError``."""
        atexit.unregister(self._runs.close)
        self._runs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_sync_calls(
    source: SyncSource,
    *,
    authorize: Authorize | None = None,
    display: DisplayPolicy | None = None,
    schema: str = "powertools",
    prefix: str = "public",
    settings: Settings | None = None,
) -> SyncCalls:
    """The synchronous calls on a database whose schema is installed.

        with open_sync_calls("postgresql://localhost/shop", authorize=authorize) as calls:
            calls.workflows.insert(workflow)

    ``conn=`` of a call joins the caller's transaction: a psycopg connection or cursor, SQLAlchemy's session or
    connection on psycopg, Django's connection.

    Args:
        source: A DSN; or a pool of the host's, to whose database a small one of our own is opened beside it.
        authorize: Decides what operators may do; None refuses every change by an operator. A plain function.
        display: Decides what is shown and stored of values that may hold secrets.
        schema: Where our tables are.
        prefix: Where Oban's tables are.
        settings: None for the defaults.

    Raises:
        SchemaError: The schema is missing, behind, or newer than this release.
        ReadOnlyDatabaseError: The database cannot be written.
        InvalidSettingError: The DSN cannot be read.
    """
    wanted = Wanted(
        source=source,
        authorize=authorize,
        display=display,
        names=Names(schema=schema, prefix=prefix),
        settings=settings or Settings(),
    )
    runs = Runs(wanted)
    runs.find_calls()
    atexit.register(runs.close)
    return SyncCalls(runs)
