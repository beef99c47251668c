"""Open the synchronous calls on a database, and close them."""

import atexit
from types import TracebackType
from typing import Self

from ..config import Names, Settings
from ..operators.authorization import Authorize
from ..privacy.display import DisplayPolicy
from .connections import Source
from .facades import Audit, Events, Explain, Jobs, Lifeline, Metrics, Queues, SharedSettings, Webhooks, Workflows
from .runs import Runs, Wanted


class Calls:
    """Every call, for a program without an event loop. Made by ``open_calls``; any thread may call.

    A call blocks its thread. A child made by ``fork`` uses connections of its own from its first call on.
    """

    workflows: Workflows
    """Inserts, waits, reads and commands."""

    audit: Audit
    """Lists and verifies who did what."""

    explain: Explain
    """Explains workflows, steps and jobs."""

    events: Events
    """Reads, follows and publishes events."""

    metrics: Metrics
    """Numbers about the whole database."""

    webhooks: Webhooks
    """Sends events to other systems."""

    lifeline: Lifeline
    """Executors, incidents, repairs and retention."""

    shared_settings: SharedSettings
    """Settings that are equal on all nodes."""

    queues: Queues
    """Shows queues, and pauses, resumes and scales them."""

    jobs: Jobs
    """Finds jobs, of steps and plain ones."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.workflows = Workflows(runs)
        self.audit = Audit(runs)
        self.explain = Explain(runs)
        self.events = Events(runs)
        self.metrics = Metrics(runs)
        self.webhooks = Webhooks(runs)
        self.lifeline = Lifeline(runs)
        self.shared_settings = SharedSettings(runs)
        self.queues = Queues(runs)
        self.jobs = Jobs(runs)

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


def open_calls(
    source: Source,
    *,
    authorize: Authorize | None = None,
    display: DisplayPolicy | None = None,
    schema: str = "powertools",
    prefix: str = "public",
    settings: Settings | None = None,
) -> Calls:
    """The synchronous calls on a database whose schema is installed.

        with open_calls("postgresql://localhost/shop", authorize=authorize) as calls:
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
    return Calls(runs)
