"""Build every call on one database: the command line, the other doors and ``Powertools`` all open ``Calls``.

Not for running jobs or loops (``powertools``).
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from .arguments import as_flag
from .config import Names, Settings
from .database import Connect, Connection, ConnectListener, Queries, Session, connect
from .database.pools import own_connection, own_pool, taken
from .entering import entered
from .errors import NotAuthorizedError, NotFoundError
from .events import Events
from .explain import Explain
from .lifeline import Lifeline
from .operators.audit import Audit, AuditRecord, recall
from .operators.authorization import Action, ActorLike, Authorize, Guard, Target, as_actor
from .operators.services import Services
from .privacy.apply_display import apply_display
from .privacy.display import DisplayPolicy
from .runtime.witness import Witness
from .schema import SchemaStatus, status, verify
from .upkeep.doctor import Report, examine
from .upkeep.jobs import Jobs
from .upkeep.metrics import Metrics
from .upkeep.queues import Queues
from .upkeep.settings import SharedSettings, adopt
from .webhooks import Webhooks
from .workflows import Workflows

__all__ = [
    "Calls",
    "Connect",
    "ConnectListener",
    "Connection",
    "Guard",
    "Queries",
    "Services",
    "Session",
    "open_calls",
]


class Calls:
    """Every call, for a program that runs no jobs: it inserts, reads or repairs.

        async with open_calls(pool, authorize=authorize) as calls:
            await calls.workflows.insert(workflow)

    Args:
        services: Shared by all calls.
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

    def __init__(self, services: Services) -> None:
        self._services = services
        self.workflows = Workflows(services)
        self.audit = Audit(services)
        self.explain = Explain(services)
        self.events = Events(services)
        self.metrics = Metrics(services)
        self.webhooks = Webhooks(services)
        self.lifeline = Lifeline(services)
        self.shared_settings = SharedSettings(services)
        self.queues = Queues(services)
        self.jobs = Jobs(services)

    async def schema_status(self) -> SchemaStatus:
        """What is installed beside what this release needs; changes nothing."""
        async with self._services.connect() as session:
            return await status(session.conn, session.queries.names)

    async def examine(self, *, deep: bool = False) -> Report:
        """What the doctor finds in this database, as the display policy shows it; changes nothing.

        Args:
            deep: Compare every workflow with the invariants, not only a choice of about 50,000 steps; reads everything.

        Raises:
            psycopg.OperationalError: The connection was lost.
        """
        deeply = as_flag("deep", deep)
        async with self._services.connect() as session:
            return apply_display(self._services.display, await examine(session, deep=deeply))

    def as_displayed[T](self, record: T) -> T:
        """A record as the display policy shows it, for a door that hands on what an application reads for itself."""
        return apply_display(self._services.display, record)

    def under(self, *, authorize: Authorize | None = None, display: DisplayPolicy | None = None) -> "Calls":
        """Calls on the same connections under other policies, for a door of its own; None keeps the policy.

        Whoever takes them calls ``events.stop()`` at the end, where they were subscribed to.
        """
        guard = self._services.guard if authorize is None else Guard(authorize)
        return Calls(replace(self._services, guard=guard, display=display or self._services.display))

    def through(self, connect: Connect, connect_listener: ConnectListener) -> "Calls":
        """These calls on other connections to the same database."""
        return Calls(replace(self._services, connect=connect, connect_listener=connect_listener))

    @property
    def wants_second_person(self) -> bool:
        """Whether the host's policy wants a second person for some repairs."""
        return self._services.guard.wants_second_person

    async def find_refusal(self, actor: ActorLike, action: Action, target: Target) -> str | None:
        """Why the host's policy would refuse an act, so that a door can say so before; None where it would not.

        Nothing is recorded, and the act asks again.

        Raises:
            UnattributedActorError, ReservedActorError: The actor is none.
        """
        try:
            await self._services.guard.check(as_actor(actor), target, action)
        except NotAuthorizedError as error:
            return error.why
        return None

    async def recall(self, error: NotFoundError) -> Sequence[AuditRecord] | None:
        """What the audit knows of something that is not there any more, the newest first; None when it never was.

        Its number has been given, or somebody has done something with it: retention has removed it since.

        Args:
            error: Raised by the call that did not find it.
        """
        async with self._services.connect() as session:
            return await recall(session, error)


@entered("open_calls is entered: async with open_calls(...) as calls")
async def open_calls(
    source: AsyncConnectionPool[Any] | Connection,
    *,
    authorize: Authorize | None = None,
    display: DisplayPolicy | None = None,
    schema: str = "powertools",
    prefix: str = "public",
    settings: Settings | None = None,
) -> AsyncGenerator[Calls]:
    """The calls on a database whose schema is installed.

    Args:
        source: A pool, beside which a small one of our own is opened; or an autocommit connection for our use alone, on
        which calls run one after another.
        authorize: Decides what operators may do; None refuses every change by an operator.
        display: Decides what is shown and stored of values that may hold secrets.
        schema: Where our tables are.
        prefix: Where Oban's tables are.
        settings: None for the defaults.

    Raises:
        SchemaError: The schema is missing, behind, or newer than this release.
        ReadOnlyDatabaseError: The database cannot be written.
    """
    names, settings, witness = Names(schema=schema, prefix=prefix), settings or Settings(), Witness()
    queries = Queries(names)
    guard, display = Guard(authorize), display or DisplayPolicy()
    if isinstance(source, AsyncConnectionPool):
        opening = _over_pool(source, queries, settings)
    else:
        opening = _on_connection(source, queries, settings)
    async with opening as (connecting, listening):
        async with connecting() as session:
            await verify(session.conn, names)
            await adopt(session, settings)
            await witness.look(session)
        calls = Calls(
            Services(
                connect=witness.beside(connecting),
                connect_listener=listening,
                queries=queries,
                settings=settings,
                guard=guard,
                display=display,
            )
        )
        try:
            yield calls
        finally:
            await calls.events.stop()
            await calls.workflows.waiters.stop()


@asynccontextmanager
async def _over_pool(
    source: AsyncConnectionPool[Any], queries: Queries, settings: Settings
) -> AsyncGenerator[tuple[Connect, ConnectListener]]:
    async with own_pool(source, settings.pool_size) as pool:

        @asynccontextmanager
        async def connecting() -> AsyncGenerator[Session]:
            async with taken(pool) as conn:
                yield Session(conn, queries)

        yield connecting, lambda: own_connection(source, settings.listen_dsn)


@asynccontextmanager
async def _on_connection(
    conn: Connection, queries: Queries, settings: Settings
) -> AsyncGenerator[tuple[Connect, ConnectListener]]:
    session = Session(conn, queries)

    async def listening() -> Connection:
        password = {"password": conn.info.password} if conn.info.password else {}
        return await connect(settings.listen_dsn or make_conninfo(conn.info.dsn, **password))

    yield lambda: nullcontext(session), listening
