"""Read Oban's private attributes: the caller's connection, and an instance's schema, pool and configuration.

Not for taking Oban's slots (``runtime.oban_hooks``). tests/runtime/test_oban_contract.py names everything used here.
"""
# pyright: reportPrivateUsage=false

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from oban import Oban, testing
from oban._config import Config
from oban._query import unwrap_connection
from oban.oban import _instances
from psycopg import AsyncConnection, AsyncCursor
from psycopg_pool import AsyncConnectionPool

from .queries import Connection

__all__ = [
    "Config",
    "caller_connection",
    "find_connection",
    "find_instance",
    "give_back_name",
    "mode_of_tests",
    "oban_config",
    "our_table",
    "pool_of",
    "prefix_of",
]


async def caller_connection(conn: Any) -> Connection:
    """The psycopg connection behind what a caller passed as ``conn``, as Oban accepts it.

    Raises:
        TypeError: It is neither a psycopg connection or cursor nor a SQLAlchemy async session or
            connection on the psycopg driver.
    """
    unwrapped: Any = conn
    # What cannot be unwrapped, such as a synchronous session, is not a connection that we can use.
    with suppress(TypeError):
        unwrapped = await unwrap_connection(conn)
    if callers := _psycopg_connection(unwrapped):
        return callers
    name = f"{type(unwrapped).__module__.partition('.')[0]}'s {type(unwrapped).__qualname__}"
    message = (
        f"conn needs psycopg's asynchronous driver (postgresql+psycopg://), found {name}; for a synchronous one call "
        "oban_powertools.sync"
    )
    raise TypeError(message)


async def find_connection(conn: Any) -> Connection | None:
    """As ``caller_connection``; None where it is not psycopg's.

    Raises:
        TypeError: Oban does not know it either.
    """
    return _psycopg_connection(await unwrap_connection(conn))


def _psycopg_connection(candidate: Any) -> Connection | None:
    if isinstance(candidate, AsyncCursor):
        return cast("AsyncCursor[Any]", candidate).connection
    return cast("Connection", candidate) if isinstance(candidate, AsyncConnection) else None


def prefix_of(oban: Oban) -> str:
    """The schema of an instance's tables."""
    return oban._prefix


def pool_of(oban: Oban) -> AsyncConnectionPool[Any]:
    """The pool an instance was made with."""
    return oban._query._pool


def find_instance(name: str) -> Oban | None:
    """The instance that ``enqueue()`` of workers uses for this name."""
    return _instances.get(name)


def give_back_name(oban: Oban, former: Oban | None) -> None:
    """Let the instance that had this one's name before have it again, unless a later one has taken it."""
    if _instances.get(oban._name) is not oban:
        return
    if former is None:
        del _instances[oban._name]
    else:
        _instances[oban._name] = former


def mode_of_tests() -> str | None:
    """Oban's testing mode in this context: ``inline``, ``manual``, or None."""
    return testing._get_mode()


def oban_config(dsn: str | None, path: str | None = None) -> Config:
    """Oban's own configuration: from oban.toml without our table, then the environment, then the argument."""
    in_file = {name: value for name, value in _settings_file(path).items() if name != "powertools"}
    return Config(**in_file).merge(Config.from_env()).merge(Config(dsn=dsn))


def our_table(path: str | None = None) -> Any:
    """The table ``powertools`` of oban.toml, which Oban's own command ignores; empty when there is none."""
    return _settings_file(path).get("powertools", {})


def _settings_file(path: str | None) -> dict[str, Any]:
    file = Path(path or "oban.toml")
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
