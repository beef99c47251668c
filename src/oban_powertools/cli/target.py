"""Choose the database of a command, from Oban's own settings and the options that all commands share.

The rule that must never break: a password is never printed, not even when the DSN cannot be parsed.
"""

import asyncio
import dataclasses
import functools
import signal
import sys
import threading
import tomllib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import psycopg
from click.core import ParameterSource
from psycopg_pool import AsyncConnectionPool

from ..calls import Calls, open_calls
from ..config import Names
from ..database import Connection, check_dsn, connect
from ..database.oban import Config, oban_config, our_table
from ..embedded import find_embedded, start_embedded
from ..errors import DsnMissingError, InvalidSettingError, SchemaBehindError, SchemaMissingError, SchemaUnknownError
from ..operators.authorization import Authorize
from ..privacy.display import DisplayPolicy
from ..schema import verify
from .forms import formatted
from .importing import check_table, configured_authorize, configured_display, find_display
from .next_commands import Repeated, command_line
from .output import say

OBAN_TOML: Final = "oban.toml"
"""Read from the current directory, as oban's own command does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The database a command works on."""

    config: Config
    """Oban's settings, as oban's own command would read them."""

    names: Names
    """The schemas of the tables."""

    data_directory: Path | None
    """The data directory of the embedded PostgreSQL, which replaces a DSN."""

    display: DisplayPolicy
    """Decides what is shown and kept of values that may hold secrets."""

    def find_dsn(self, *, create: bool = False) -> str:
        """The DSN to connect to; starts the embedded server for a data directory.

        Args:
            create: Whether a data directory without a server gets one: for what installs, and nothing else.

        Raises:
            DsnMissingError: No database is named anywhere.
            EmbeddedMissingError: There is no server in the data directory.
            InvalidSettingError: The DSN cannot be read.
        """
        if self.data_directory:
            _leave_when_asked_to_end()
            return start_embedded(self.data_directory, create=create).dsn
        dsn = self.config.dsn
        if not dsn:
            raise DsnMissingError
        return check_dsn(dsn)

    @asynccontextmanager
    async def connection(self, *, create: bool = False) -> AsyncGenerator[Connection]:
        """One autocommit connection with timeouts; the schema is not checked yet. ``create`` as ``find_dsn``.

        Raises:
            DatabaseUnavailableError: The server did not answer or refused.
        """
        async with await connect(self.find_dsn(create=create)) as conn:
            yield conn

    async def check(self, conn: Connection) -> None:
        """Refuse a database that is not ready for this release.

        Raises:
            SchemaError: Our schema is missing, behind or ahead, or Oban's tables are not in the prefix.
            ReadOnlyDatabaseError: The database cannot be written.
        """
        await verify(conn, self.names)

    @asynccontextmanager
    async def calls(self, authorize: Authorize | None = None) -> AsyncGenerator[Calls]:
        """Every call, on one connection; each is a transaction of its own.

        Its settings are in the database, as for every process (``SHARED`` and the rows of executors).

        Args:
            authorize: Decides what operators may do; None refuses all of it.
        """
        async with self.connection() as conn, self._open(conn, authorize) as calls:
            yield calls

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[Calls]:
        """Every call that reads, all in one read-only snapshot, so that an answer is one moment."""
        async with self.connection() as conn, self._open(conn) as calls:
            await conn.set_read_only(True)
            await conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            async with conn.transaction():
                yield calls

    @asynccontextmanager
    async def following(self, authorize: Authorize | None = None) -> AsyncGenerator[Calls]:
        """Every call, on connections that are renewed after the database was away; ``authorize`` as ``calls``."""
        async with self._open(AsyncConnectionPool(self.find_dsn(), open=False), authorize) as calls:
            yield calls

    def _open(
        self,
        source: AsyncConnectionPool[Any] | Connection,
        authorize: Authorize | None = None,
    ) -> AbstractAsyncContextManager[Calls]:
        return open_calls(
            source, authorize=authorize, display=self.display, schema=self.names.schema, prefix=self.names.prefix
        )


def _leave_when_asked_to_end() -> None:
    """Have SIGTERM and a closed terminal end this process so that it leaves the embedded server, as at any other exit.

    Whoever handles them already, as workers do, goes on doing so.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda received, _: sys.exit(128 + received))


class Directory(click.Path):
    """A directory; an empty text is not the current one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click, besides that."""
        if value == "":
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


_OPTIONS: Final = (
    click.option(
        "--dsn",
        cls=Repeated,
        envvar="OBAN_DSN",
        show_envvar=True,
        metavar="DSN",
        help="PostgreSQL connection string.",
    ),
    click.option(
        "--data-directory",
        cls=Repeated,
        type=Directory(file_okay=False, path_type=Path),
        help="Use the embedded PostgreSQL of this directory instead of a DSN.",
    ),
    click.option(
        "--prefix",
        cls=Repeated,
        envvar="OBAN_PREFIX",
        show_envvar=True,
        help="Schema of Oban's tables.  [default: public]",
    ),
    click.option(
        "--schema",
        cls=Repeated,
        envvar="POWERTOOLS_SCHEMA",
        show_envvar=True,
        default="powertools",
        show_default=True,
        help="Schema of Powertools' own tables.",
    ),
    click.option(
        "--config",
        "config_path",
        cls=Repeated,
        type=click.Path(exists=True, dir_okay=False),
        help="TOML file with Oban's settings.  [default: oban.toml]",
    ),
    click.option(
        "--display",
        cls=Repeated,
        envvar="POWERTOOLS_DISPLAY",
        show_envvar=True,
        callback=find_display,
        metavar="MODULE:NAME",
        help="Show through this display policy of yours.  [default: what looks secret is hidden]",
    ),
    click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."),
)


_ON_RECORD: Final = ("actor", "reason")
"""Options whose empty value is refused, and recorded, by the call itself."""


def on_database(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a database; the command gets them as its first argument, a Database."""

    @functools.wraps(command)
    def run(
        dsn: str | None,
        data_directory: Path | None,
        prefix: str | None,
        schema: str,
        config_path: str | None,
        display: DisplayPolicy | None,
        **arguments: Any,
    ) -> Any:
        _refuse_two_databases(data_directory)
        _refuse_empty_words(click.get_current_context())
        config, table = _load_config(config_path, dsn, prefix)
        if "authorize" in arguments:
            arguments["authorize"] = arguments["authorize"] or configured_authorize(table, config_path or OBAN_TOML)
        if data_directory is None and not config.dsn:
            data_directory = _find_private_server()
        names = Names(schema=schema, prefix=config.prefix or "public")
        display = display or configured_display(table, config_path or OBAN_TOML)
        target = Database(config=config, names=names, data_directory=data_directory, display=display)
        try:
            return command(target, **arguments)
        except (SchemaMissingError, SchemaBehindError, SchemaUnknownError) as error:
            # The command that they end with needs the options that said which database is meant.
            error.add_note(command_line().removeprefix("powertools"))
            raise

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), run)


def answering(command: Callable[..., Coroutine[Any, Any, int]]) -> Callable[..., Any]:
    """Make a command of an async function that prints an answer: as ``on_database``, with ``--output``."""

    @on_database
    @formatted
    @functools.wraps(command)
    def run(target: Database, **arguments: Any) -> int:
        return asyncio.run(command(target, **arguments))

    return run


def _find_private_server() -> Path | None:
    """The server that ``Powertools.open`` starts where nothing is named; None where it never did."""
    directory = find_embedded()
    if directory is not None:
        say(f"no database is named: using the private PostgreSQL in {directory}", err=True)
    return directory


def _refuse_two_databases(data_directory: Path | None) -> None:
    source = click.get_current_context().get_parameter_source("dsn")
    if data_directory and source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--dsn and --data-directory name two databases: give one of them")


def _refuse_empty_words(ctx: click.Context) -> None:
    """Refuse empty options, as from a script's unset variable; the call itself refuses an empty actor or reason."""
    for param in ctx.command.params:
        value: Any = ctx.params.get(param.name or "")
        if (
            (value == "" or (isinstance(value, tuple) and "" in value))
            and param.name not in _ON_RECORD
            and _is_typed(ctx, param)
        ):
            raise click.BadParameter("it is empty", ctx, param)


def _is_typed(ctx: click.Context, param: click.Parameter) -> bool:
    return ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE


def _load_config(path: str | None, dsn: str | None, prefix: str | None) -> tuple[Config, dict[str, Any]]:
    try:
        config, table = oban_config(dsn, path), our_table(path)
    except (OSError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise InvalidSettingError(
            "oban.toml or an OBAN_* variable", f"unreadable ({error})", "what oban start accepts"
        ) from error
    return dataclasses.replace(config, prefix=prefix or config.prefix), check_table(table, path or OBAN_TOML)
