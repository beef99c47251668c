"""Users of a database who may only read it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from oban_powertools import schema


@contextmanager
def reader_of(dsn: str) -> Iterator[str]:
    """The database, as a user who has the rights of ``powertools_read``."""
    run, read, user = (f"reader_{part}_{os.getpid()}" for part in ("run", "read", "user"))
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(schema.roles_sql(run=run, read=read).encode())
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(sql.Identifier(user), sql.Identifier(read)))
        yield make_conninfo(dsn, user=user)
        for role in (user, read, run):
            conn.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
