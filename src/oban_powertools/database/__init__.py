"""Connections, queries, session settings, and the conversion of values between Python and PostgreSQL."""

from .queries import (
    Connection,
    OwnCursor,
    Queries,
    check_dsn,
    connect,
    describe_dsn,
    execute_query,
    fetch_all,
    fetch_one,
    joined,
    render,
)
from .records import Row, record
from .session import Connect, ConnectListener, Session

__all__ = [
    "Connect",
    "ConnectListener",
    "Connection",
    "OwnCursor",
    "Queries",
    "Row",
    "Session",
    "check_dsn",
    "connect",
    "describe_dsn",
    "execute_query",
    "fetch_all",
    "fetch_one",
    "joined",
    "record",
    "render",
]
