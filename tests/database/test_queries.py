"""Every named query against a real server: that it can be planned, whatever the schemas are called."""

import re

import psycopg
import pytest

from oban_powertools import schema
from oban_powertools.config import Names
from oban_powertools.database import Queries, connect

NAMES = [Names(), Names(schema="ours", prefix="theirs")]


@pytest.mark.parametrize("names", NAMES, ids=lambda names: names.schema)
async def test_every_named_query_can_be_prepared(empty_dsn: str, names: Names) -> None:
    queries = Queries(names)
    faults: dict[str, str] = {}

    async with await connect(empty_dsn) as conn:
        await schema.install(conn, names)
        for name in queries:
            try:
                await prepare(conn, name, queries[name].decode())
            except psycopg.Error as error:
                faults[name] = str(error)

    assert faults == {}
    assert len(list(queries)) > 20


def test_every_named_query_says_what_it_takes_or_gives() -> None:
    silent = [name for name in Queries(Names()) if not re.search(r"^-- (Args|Rows)", _text(name), re.MULTILINE)]

    assert set(silent) <= {"copy_steps"}


async def prepare(conn: psycopg.AsyncConnection, name: str, text: str) -> None:
    """Have the server plan a query."""
    statement = re.sub(r"--(?!\w).*", "", text).strip()
    if statement.startswith("COPY"):
        async with conn.cursor() as cursor, cursor.copy(statement.encode()):
            return
    if statement.startswith("LISTEN"):
        await conn.execute(statement.encode())
        return
    numbers: dict[str, int] = {}

    def numbered(parameter: re.Match[str]) -> str:
        return f"${numbers.setdefault(parameter[1], len(numbers) + 1)}"

    statement = re.sub(r"%\((\w+)\)s", numbered, statement).replace("%%", "%")
    await conn.execute(f"PREPARE {name} AS {statement}".encode())


def _text(name: str) -> str:
    return Queries(Names())[name].decode()
