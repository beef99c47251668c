"""The facade: connects an Oban instance with the hooks, the sweep and the calls.

The rule that must never break: a fault of ours can slow a queue, never stop it (invariant/I6).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import UnionType
from typing import Any, Final, Self

import psycopg
from oban import Oban, current_job

from . import schema as schema_module
from .calls import Calls
from .config import Names, Settings
from .database import Connection, Queries, Session, check_dsn, connect
from .database.oban import find_instance, give_back_name, oban_config, pool_of, prefix_of
from .database.pools import obans_pool, own_connection, own_pool
from .embedded import start_embedded
from .entering import entered
from .errors import InvalidSettingError, OpenedInWorkerError
from .events.retention import keep_events
from .lifeline.incidents import Projector
from .operators.audit import seal
from .operators.authorization import Authorize, Guard
from .operators.services import Services
from .privacy.display import DisplayPolicy
from .privacy.logs import find_logger
from .runtime.heartbeats import Heartbeats
from .runtime.oban_hooks import attach, detach
from .runtime.pulse import Pulse
from .runtime.rescue import Rescuer
from .runtime.sweep import SweepLoop, Swept, sweep_once
from .runtime.witness import Witness
from .sweep_parts import ALL_PARTS, SweepPart
from .telemetry import Name, anybody_listens
from .upkeep.retention import RetentionSweep
from .upkeep.settings import adopt

logger: Final = find_logger(__name__)

_OPEN: Final = (
    "Powertools.open is entered: async with Powertools.open(...) as powertools; where that does not fit, as in a "
    "notebook: powertools = await Powertools.start(...), and at the end await powertools.close()"
)
_AUTHORIZE: Final = "a function (actor, action, target) -> bool, such as permissions_policy() or AllowAll()"


class Powertools(Calls):
    """Workflows for one Oban instance.

        oban = Oban(pool=pool, queues={"default": 20})
        powertools = Powertools(oban, authorize=authorize)
        async with oban, powertools:
            handle = await powertools.workflows.insert(workflow)

    Args:
        oban: The instance whose jobs run the steps; its pool's database holds everything.
        authorize: Decides what operators may do, ``(actor, action, target) -> bool``, sync or async. None refuses
            every change by an operator.
        display: Decides what is shown and stored of values that may hold secrets.
        schema: Where our tables are.
        turbo: Acknowledge and insert jobs in bulk through Oban's extension points.
        settings: Limits and intervals.

    Raises:
        InvalidSettingError: An argument is not what it should be, or the schema's name cannot be used.
    """

    def __init__(
        self,
        oban: Oban,
        *,
        authorize: Authorize | None = None,
        display: DisplayPolicy | None = None,
        schema: str = "powertools",
        turbo: bool = True,
        settings: Settings | None = None,
    ) -> None:
        _check("oban", oban, Oban, "an oban.Oban")
        _check_options(authorize, display, turbo, settings)
        self.oban = oban
        self.settings: Settings = settings or Settings()
        self._names = Names(schema=schema, prefix=prefix_of(oban))
        self._queries = Queries(self._names)
        self._attachment = attach(oban, self._queries, turbo=turbo, settings=self.settings)
        self._attachment.owner = self
        self._sweep_loop = SweepLoop(self._sweep, self.settings.sweep_every)
        self._rescuer = Rescuer(self.settings, self._attachment.hands)
        self._attachment.rescue = self._rescue
        self._projector = Projector(self.settings)
        self._heartbeats: Heartbeats | None = None
        self._witness = Witness()
        super().__init__(
            Services(
                connect=self._connect,
                connect_listener=self._connect_listener,
                queries=self._queries,
                settings=self.settings,
                guard=Guard(authorize),
                display=display or DisplayPolicy(),
            )
        )
        self.workflows.queues_here = lambda: {executor.queue for executor in self._attachment.executors()}
        self._retention_sweep = RetentionSweep()
        self._pulse = Pulse()
        self._opening: AbstractAsyncContextManager[Self] | None = None

    @classmethod
    @entered(_OPEN)
    async def open(
        cls,
        dsn: str | None = None,
        *,
        queues: Mapping[str, int] | None = None,
        authorize: Authorize | None = None,
        display: DisplayPolicy | None = None,
        schema: str = "powertools",
        turbo: bool = True,
        settings: Settings | None = None,
        data_directory: Path | None = None,
        **oban_options: Any,
    ) -> AsyncGenerator[Self]:
        """Build pool and Oban and run both, for scripts.

        Args:
            dsn: Else ``OBAN_DSN``, else ``dsn`` in oban.toml, else the embedded PostgreSQL is started
                (extra ``embedded``) and the schema installed in it. Oban's prefix and the pool's sizes come
                from the same places.
            queues: Queue -> limit; without queues nothing runs here, jobs are only inserted.
            authorize, display, schema, turbo, settings: As ``Powertools(...)``.
            data_directory: Starts the embedded server there, whatever the environment or oban.toml name.
            oban_options: As ``Oban(...)``.

        Raises:
            InvalidSettingError: Both a dsn and a data_directory are given, or an argument is not what it should be.
            OpenedInWorkerError: A worker opens it on the Oban of its own process.
            EmbeddedNotInstalledError: No database is named and the extra is not installed.
            DatabaseUnavailableError: The server did not answer or refused.
            SchemaError: The schema is missing, behind, or newer than this release.
        """
        _check_options(authorize, display, turbo, settings)
        _check("dsn", dsn or None, str | None, "a DSN")
        _check("data_directory", data_directory, Path | None, f"a pathlib.Path, such as Path({str(data_directory)!r})")
        _check("queues", queues, Mapping | None, 'a dict such as {"default": 10}')
        if dsn == "":
            raise InvalidSettingError("dsn", "empty", "a DSN; None takes OBAN_DSN, else starts the embedded PostgreSQL")
        if dsn is not None and data_directory is not None:
            raise InvalidSettingError("data_directory", str(data_directory), "a dsn or a data_directory, not both")
        former = _former_instance(oban_options.get("name", "Oban"))
        config = oban_config(dsn)
        server_dsn = config.dsn if data_directory is None else None
        prefix = oban_options.setdefault("prefix", config.prefix or "public")
        target = await _prepare(server_dsn, Names(schema=schema, prefix=prefix), data_directory)
        async with obans_pool(target, min_size=config.pool_min_size or 1, max_size=config.pool_max_size or 10) as pool:
            oban = Oban(pool=pool, queues=dict(queues or {}), **oban_options)
            powertools = cls(oban, authorize=authorize, display=display, schema=schema, turbo=turbo, settings=settings)
            try:
                async with oban, powertools:
                    yield powertools
            finally:
                give_back_name(oban, former)
                detach(powertools._attachment)
                await powertools.ended()

    @classmethod
    async def start(
        cls,
        dsn: str | None = None,
        *,
        queues: Mapping[str, int] | None = None,
        authorize: Authorize | None = None,
        display: DisplayPolicy | None = None,
        schema: str = "powertools",
        turbo: bool = True,
        settings: Settings | None = None,
        data_directory: Path | None = None,
        **oban_options: Any,
    ) -> Self:
        """As ``open``, where no ``async with`` fits, such as in a notebook; ``close`` ends it.

        Args and errors as ``open``.
        """
        opening = cls.open(
            dsn,
            queues=queues,
            authorize=authorize,
            display=display,
            schema=schema,
            turbo=turbo,
            settings=settings,
            data_directory=data_directory,
            **oban_options,
        )
        powertools = await opening.__aenter__()
        powertools._opening = opening  # noqa: SLF001 - of our own class
        return powertools

    async def __aenter__(self) -> Self:
        """Check the schema, open our own small pool and start the sweep.

        Raises:
            SchemaError: The schema is missing, behind, or newer than this release.
            ReadOnlyDatabaseError: The database cannot be written.
        """
        pool = own_pool(pool_of(self.oban), self.settings.pool_size)
        await pool.open(wait=True, timeout=30)
        try:
            async with pool.connection() as conn:
                await schema_module.verify(conn, self._names)
                await adopt(Session(conn, self._queries), self.settings)
        except BaseException:
            await pool.close()
            raise
        self._attachment.own_pool = pool
        self._attachment.loop = asyncio.get_running_loop()
        self._attachment.guests = own_pool(
            pool_of(self.oban), self.settings.pool_size, min_size=0, name="powertools-guests"
        )
        await self._attachment.guests.open()
        self._sweep_loop.start()
        self._heartbeats = Heartbeats(
            self._attachment,
            pool_of(self.oban),
            self._queries,
            self.settings,
            self._services.display,
            self._sweep_loop.hurry,
        )
        await self._heartbeats.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.events.stop()
        if self._heartbeats is not None:
            self._heartbeats.close()
        await self._sweep_loop.stop()
        await self.workflows.waiters.stop()
        for pool in (self._attachment.guests, self._attachment.own_pool):
            if pool is not None:
                await pool.close()

    def __repr__(self) -> str:
        return f"<Powertools on schema {self._names.schema!r}, Oban {self._names.prefix!r}>"

    async def close(self) -> None:
        """End what ``start`` started: the workers finish, the connections close; repeating is harmless.

        With an Oban of your own: give it back to its defaults, once you have left Powertools; only needed where it
        outlives us.
        """
        opening, self._opening = self._opening, None
        if opening is not None:
            await opening.__aexit__(None, None, None)
        else:
            detach(self._attachment)

    async def ended(self) -> None:
        """Wait, a few seconds at most, until the database knows that the executors of this process have stopped.

        Only for hosts that want to be sure: it happens by itself as soon as Oban has stopped.
        """
        if self._heartbeats is not None:
            await self._heartbeats.ended()

    @entered("connect is entered: async with powertools.connect() as conn")
    async def connect(self) -> AsyncGenerator[Connection]:
        """A connection with our settings: autocommit, UTC, timeouts; ended when its transaction idles for 30 s.

        From a separate pool of at most ``pool_size``: a caller that holds one can make all other calls meanwhile.
        """
        async with self._attachment.connect_guest() as conn:
            yield conn

    def _connect(self) -> AbstractAsyncContextManager[Session]:
        return self._attachment.connect()

    async def _connect_listener(self) -> Connection:
        return await own_connection(pool_of(self.oban), self.settings.listen_dsn)

    async def _sweep(self, last: Swept) -> Swept:
        async with self._connect() as session:
            if not self._attachment.executors():
                # With executors the heartbeats' thread looks around.
                await self._witness.look(session)
            swept = await sweep_once(session, last, self.settings)
            await self._tell_cancelled_jobs(session)
            done = {part for part in SweepPart if await self._carry_out(part, session, due=part in swept.due)}
            self._pulse.succeeded((ALL_PARTS - swept.due) | swept.done | done)
            await self._pulse.beat(session)
        if SweepPart.DISPATCH_WEBHOOKS in swept.due and await self.webhooks.sweep():
            self._pulse.succeeded([SweepPart.DISPATCH_WEBHOOKS])
        if anybody_listens((Name.FINISHED, Name.STEP_CHANGED)):
            await self._tell_what_happened()
        return swept

    async def _carry_out(self, part: SweepPart, session: Session, *, due: bool) -> bool:
        """Carry out a part of the sweep that other modules do; whether it succeeded."""
        match part:
            case SweepPart.RESCUE:
                return await self._rescuer.sweep(session, gone=due) is not None
            case SweepPart.RETENTION:
                await self._retention_sweep.sweep(session)
                return self._retention_sweep.ended_well
            case _ if not due or part.row.swept_by is not None:
                return False
            case SweepPart.PROJECT_INCIDENTS:
                return await self._projector.sweep(session)
            case SweepPart.KEEP_EVENTS:
                return await keep_events(session)
            case SweepPart.SEAL_AUDIT:
                return await seal(session) is not None
            case SweepPart.RECONCILE | SweepPart.DISPATCH_WEBHOOKS:
                return False  # by sweep_once before these, and after them without a session
            case _:
                raise NotImplementedError(part)

    async def _tell_what_happened(self) -> None:
        try:
            await self.metrics.count()
        except psycopg.Error:
            logger.exception("counting for telemetry failed; trying again with the next sweep")

    async def _rescue(self) -> int:
        async with self._connect() as session:
            return await self._rescuer.rescue(session, thorough=True) + await self._rescuer.discard_exhausted(session)

    async def _tell_cancelled_jobs(self, session: Session) -> None:
        # Oban's signal tells them, too, but it can be lost (invariant/I5), and queues that start later never get it
        # (oban/O11).
        running = self._attachment.running_step_jobs()
        if not running:
            return
        for row in await session.all("cancelled_job_ids", {"ids": list(running)}):
            self._attachment.ask_to_stop(running[row["id"]])


def _check_options(authorize: object, display: object, turbo: object, settings: object) -> None:
    _check("authorize", authorize, Callable | None, _AUTHORIZE)
    _check("display", display, DisplayPolicy | None, "a DisplayPolicy")
    _check("turbo", turbo, bool, "True or False")
    _check("settings", settings, Settings | None, "a Settings")


def _check(argument: str, value: object, kind: type | UnionType, expected: str) -> None:
    if not isinstance(value, kind):
        raise InvalidSettingError(argument, repr(value)[:80], expected)


def _former_instance(name: str) -> Oban | None:
    former, job = find_instance(name), current_job()
    if former is not None and job is not None:
        raise OpenedInWorkerError(job.worker, name)
    return former


async def _prepare(server_dsn: str | None, names: Names, data_directory: Path | None) -> str:
    target = check_dsn(server_dsn) if server_dsn else _start_embedded(data_directory)
    conn = await connect(target)
    async with conn:
        await (schema_module.verify if server_dsn else schema_module.install)(conn, names)
    return target


def _start_embedded(data_directory: Path | None) -> str:
    server = start_embedded(data_directory)
    if data_directory is None:
        logger.warning(
            "no database is named, so a private PostgreSQL runs in %s: look at it with psql '%s'; to use a server of "
            "yours set OBAN_DSN or pass dsn=",
            server.data_directory,
            server.dsn,
        )
    return server.dsn
