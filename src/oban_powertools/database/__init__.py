"""Connections, queries, session settings, and the conversion of values between Python and PostgreSQL."""

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
