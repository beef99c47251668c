"""The ground: connections and queries, what a session is given, the border between Python's values and PostgreSQL's."""

from .queries import (
    Connection,
    Cursor,
    Queries,
    check_dsn,
    connect,
    describe,
    execute,
    fetch_all,
    fetch_one,
    joined,
    render,
)
from .session import Connect, ConnectListener, Session

__all__ = [
    "Connect",
    "ConnectListener",
    "Connection",
    "Cursor",
    "Queries",
    "Session",
    "check_dsn",
    "connect",
    "describe",
    "execute",
    "fetch_all",
    "fetch_one",
    "joined",
    "render",
]
