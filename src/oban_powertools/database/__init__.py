"""The ground: connections and queries, what a session is given, the border between Python's values and PostgreSQL's."""

from .queries import (
    Connection,
    Cursor,
    Queries,
    bounded,
    check_dsn,
    connect,
    describe,
    execute,
    fetch_all,
    fetch_one,
    joined,
    render,
)

__all__ = [
    "Connection",
    "Cursor",
    "Queries",
    "bounded",
    "check_dsn",
    "connect",
    "describe",
    "execute",
    "fetch_all",
    "fetch_one",
    "joined",
    "render",
]
