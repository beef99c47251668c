"""A schema of a state that this release does not know is refused by name at every door, before anything is changed."""

import json
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from psycopg import AsyncConnection

from oban_powertools import AllowAll, Powertools, open_calls, schema
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session, connect
from oban_powertools.database.known_migrations import find_strangers
from oban_powertools.database.migrations import migrations
from oban_powertools.errors import SchemaUnknownError
from oban_powertools.upkeep.doctor import examine
from tests.support.catalog import catalog
from tests.support.command import powertools
from tests.support.dumped import dumped

EARLIER = (
    "workflows events release settle triggers turbo sweep signals nested commands holds recover invariants webhooks "
    "executors audit incidents repairs retention incident_classes audited due"
).split()
"""The migrations of 3a1a901, a state that was never released: number 20 and 22 are others here, and so are most."""

TOLD = "is of a state that this release does not know, from before the first release, and cannot be upgraded"
NUMBERED = {(migration.version, migration.name) for migration in migrations()}


async def record(conn: AsyncConnection[Any], names: Sequence[str]) -> None:
    """As if these were the migrations that were applied."""
    await conn.execute("DELETE FROM powertools.migrations")
    await conn.execute(
        "INSERT INTO powertools.migrations (version, name)"
        " SELECT n, name FROM unnest(%s::text[]) WITH ORDINALITY AS m (name, n)",
        ([*names],),
    )


@pytest.fixture
async def earlier(dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await connect(dsn) as conn:
        await record(conn, EARLIER)
        yield conn


async def unchanged(conn: AsyncConnection[Any], door: Callable[[], Awaitable[object]]) -> None:
    before = await catalog(conn), await dumped(conn)
    await door()
    assert (await catalog(conn), await dumped(conn)) == before


# What is recognised


@pytest.mark.parametrize(
    ("recorded", "strangers"),
    [
        (NUMBERED, []),
        ({each for each in NUMBERED if each[0] < 18}, []),
        (set(enumerate([*EARLIER, "rescue", "errors"], start=1)), []),
        (NUMBERED | {(4, "of_a_later_state")}, []),
        (NUMBERED | {(99, "of_a_newer_release")}, []),
        ({(1, "workflows"), (3, "release")}, [(3, "release")]),
        ({(1, "workflows"), (4, "settle")}, [(4, "settle")]),
        ({(1, "workflows"), (22, "due")}, [(22, "due")]),
    ],
)
def test_a_migration_is_recognised_by_its_number_and_its_name(
    recorded: set[tuple[int, str]], strangers: list[tuple[int, str]]
) -> None:
    assert find_strangers(recorded) == strangers


# The doors of a program

DOORS: dict[str, Callable[[str, AsyncConnection[Any]], Awaitable[object]]] = {
    "install": lambda _dsn, conn: schema.install(conn),
    "upgrade": lambda _dsn, conn: schema.upgrade(conn),
    "verify": lambda _dsn, conn: schema.verify(conn),
    "Powertools.open": lambda dsn, _conn: opened(Powertools.open(dsn, queues={"default": 1})),
    "open_calls": lambda _dsn, conn: opened(open_calls(conn, authorize=AllowAll())),
}


async def opened(door: AbstractAsyncContextManager[object]) -> None:
    async with door:
        pass


@pytest.mark.parametrize("door", DOORS)
async def test_a_program_gets_an_error_that_says_what_to_do(dsn: str, earlier: AsyncConnection[Any], door: str) -> None:
    async def refused() -> None:
        with pytest.raises(SchemaUnknownError, match=TOLD) as caught:
            await DOORS[door](dsn, earlier)
        assert "22 due" in caught.value.found
        assert str(caught.value).endswith("then install anew, after powertools uninstall")

    await unchanged(earlier, refused)


async def test_it_is_refused_even_where_the_newest_number_is_that_of_this_release(
    dsn: str, earlier: AsyncConnection[Any]
) -> None:
    await record(earlier, [*EARLIER, "rescue", "something"])

    with pytest.raises(SchemaUnknownError, match=TOLD):
        await schema.verify(earlier)


# The doors of the command line


@pytest.mark.parametrize(
    "words",
    [
        ("install",),
        ("upgrade",),
        ("upgrade", "--sql"),
        ("start", "--queues", "default:1"),
        ("incidents", "list"),
        ("workflow", "list"),
        ("events", "tail"),
        ("check",),
        ("settings", "list"),
    ],
    ids=" ".join,
)
async def test_a_command_refuses_it_with_the_same_sentence(
    dsn: str, earlier: AsyncConnection[Any], words: tuple[str, ...]
) -> None:
    async def refused() -> None:
        ended = powertools(*words, "--dsn", dsn)
        assert ended.code == 7, ended
        assert TOLD in ended.err
        assert ended.err.endswith(f"after powertools uninstall --dsn {shlex.quote(dsn)}\n")

    await unchanged(earlier, refused)


async def test_status_says_what_it_found_and_what_to_do(dsn: str, earlier: AsyncConnection[Any]) -> None:
    ended = powertools("status", dsn=dsn, COLUMNS="400")
    told = json.loads(powertools("status", "--json", dsn=dsn).out)["schema"]

    assert ended.code == 6
    assert "unknown        migrations 3 release" in ended.out
    assert "it cannot be upgraded: let its workflows end with the version that made it" in ended.out
    assert "powertools upgrade" not in ended.out
    assert (told["current"], told["pending"], told["strangers"][0]) == (False, [], "3 release")


async def test_the_doctor_says_what_it_found_and_what_to_do(dsn: str, earlier: AsyncConnection[Any]) -> None:
    report = await examine(Session(earlier, Queries(Names())))

    [finding] = report.findings
    assert finding.found.startswith("migrations 3 release")
    assert "powertools uninstall and powertools install" in (finding.todo or "")
    assert powertools("doctor", dsn=dsn).code == 6


async def test_what_it_says_to_do_works(dsn: str, earlier: AsyncConnection[Any]) -> None:
    assert powertools("uninstall", "--yes", dsn=dsn).code == 0
    assert powertools("install", dsn=dsn).code == 0
    assert powertools("status", dsn=dsn).code == 0


# Tables that are not what the migrations say


async def test_tables_that_are_not_what_their_migrations_say_are_refused_by_name_and_left_as_they_are(
    earlier: AsyncConnection[Any],
) -> None:
    await record(earlier, [*EARLIER, "rescue", "errors"])
    await earlier.execute("ALTER TABLE powertools.executors DROP COLUMN missing_at CASCADE")

    async def refused() -> None:
        with pytest.raises(SchemaUnknownError, match="Nothing was changed") as caught:
            await schema.upgrade(earlier)
        assert caught.value.found

    await unchanged(earlier, refused)
