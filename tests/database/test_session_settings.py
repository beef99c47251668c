"""Sessions: ours have settings of their own, and in anybody's our statements do the same whatever is set there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from oban import Oban
from oban.decorators import job
from psycopg import AsyncClientCursor, AsyncConnection, AsyncRawCursor
from psycopg.adapt import Loader
from psycopg.rows import dict_row, namedtuple_row, tuple_row
from psycopg.types.json import JsonbDumper, set_json_loads
from psycopg.types.string import StrBinaryDumper
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Powertools, Workflow
from oban_powertools.database.pools import blocking_connection, obans_pool, own_connection, own_pool, resolve
from oban_powertools.database.session_settings import (
    CONNECTION_OPTIONS,
    OWN_BOUNDS,
    SESSION_SETTINGS,
    configure,
    configure_blocking,
    parameters,
)
from oban_powertools.errors import InvalidArgumentError
from oban_powertools.events import Cursor, StepUpdated
from tests.support.by_hand import Hand, by_hand, chain, everybody_may, step

HOSTILE = {
    "TimeZone": "America/New_York",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "idle_in_transaction_session_timeout": "1h",
    "idle_session_timeout": "1h",
    "tcp_keepalives_idle": "7200",
    "tcp_keepalives_interval": "75",
    "tcp_keepalives_count": "9",
    "tcp_user_timeout": "1h",
    "statement_timeout": "1h",
    "lock_timeout": "1h",
    "client_encoding": "LATIN1",
    "search_path": "elsewhere,public",
    "plan_cache_mode": "force_generic_plan",
    "row_security": "off",
}
"""Setting -> a value that somebody may have given to a role, a database or a session."""

SPAN = timedelta(days=182, hours=1)
"""Over a change of summer time, wherever there is one, from any day."""


@job(queue="default", max_attempts=1)
async def quick(n: int) -> int:
    return n


def hostile(dsn: str, **settings: str) -> str:
    """A DSN whose sessions begin with these settings, as those of a role or a database do that has them."""
    options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())
    return f"{dsn}&options={quote(options)}"


async def told(conn: AsyncConnection[Any], names: Sequence[str]) -> dict[str, str]:
    """Setting -> what the session says."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute("SELECT n, current_setting(n) FROM unnest(%s::text[]) AS n", [list(names)])
        return dict(await cursor.fetchall())


@asynccontextmanager
async def ours(kind: str, dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    """A session that we open."""
    source = AsyncConnectionPool(dsn, open=False)
    if kind == "own pool":
        async with own_pool(source, 1) as pool, pool.connection() as conn:
            yield conn
    elif kind == "Oban's pool":
        async with obans_pool(dsn, min_size=1, max_size=1) as pool, pool.connection() as conn:
            yield conn
    else:
        async with await own_connection(source) as conn:
            yield conn


@pytest.fixture(scope="module")
def neutral(shared_dsn: str) -> dict[str, str]:
    """What PostgreSQL says of our settings' values, which it writes in its own way."""
    with psycopg.connect(shared_dsn, autocommit=True) as conn:
        for name, value in {**SESSION_SETTINGS, **OWN_BOUNDS}.items():
            conn.execute("SELECT set_config(%s, %s, false)", [name, value])
        rows = conn.execute("SELECT name, current_setting(name) FROM pg_settings").fetchall()
    return dict(rows)


@pytest.mark.parametrize("kind", ["own pool", "Oban's pool", "own connection"])
async def test_a_session_of_ours_has_its_settings_whatever_it_began_with(
    kind: str, shared_dsn: str, neutral: dict[str, str]
) -> None:
    async with ours(kind, hostile(shared_dsn, **HOSTILE)) as conn:
        found = await told(conn, list(SESSION_SETTINGS))
        encoding = await told(conn, ["client_encoding"])

    assert found == {name: neutral[name] for name in SESSION_SETTINGS}
    assert encoding == {"client_encoding": "UTF8"}


async def test_a_session_that_only_we_use_has_bounds(shared_dsn: str) -> None:
    async with ours("own pool", hostile(shared_dsn, **HOSTILE)) as conn:
        found = await told(conn, list(OWN_BOUNDS))

    assert found == {"statement_timeout": "1min", "lock_timeout": "5s"}


async def test_a_threads_session_has_its_settings(shared_dsn: str, neutral: dict[str, str]) -> None:
    source = AsyncConnectionPool(hostile(shared_dsn, **HOSTILE), open=False)

    with blocking_connection(await resolve(source), hangs_for=3) as conn:
        rows = conn.execute("SELECT n, current_setting(n) FROM unnest(%s::text[]) AS n", [list(SESSION_SETTINGS)])
        found, [[bound]] = dict(rows.fetchall()), conn.execute("SHOW statement_timeout").fetchall()

    assert (found, bound) == ({name: neutral[name] for name in SESSION_SETTINGS}, "3s")


async def test_a_session_is_closed_whose_opening_is_cancelled_while_it_gets_its_settings(shared_dsn: str) -> None:
    async with await AsyncConnection.connect(shared_dsn, autocommit=True) as conn:
        configuring = asyncio.create_task(configure(conn))
        asyncio.get_running_loop().call_soon(configuring.cancel)
        with pytest.raises(asyncio.CancelledError):
            await configuring

        assert conn.closed


def test_a_threads_session_is_closed_whose_settings_are_refused(shared_dsn: str) -> None:
    with psycopg.connect(shared_dsn, autocommit=True) as conn:
        with pytest.raises(psycopg.Error):
            configure_blocking(conn, statement_timeout="soon")

        assert conn.closed


def test_every_setting_of_ours_has_a_hostile_value_in_these_tests() -> None:
    assert {*SESSION_SETTINGS, *OWN_BOUNDS} <= {*HOSTILE}


# What a name says


@pytest.mark.parametrize(
    ("dsn", "given", "name"),
    [
        ("dbname=x", {}, None),
        ("dbname=x application_name=shop", {}, "shop powertools"),
        ("dbname=x application_name=shop", {"application_name": "shop-web"}, "shop-web powertools"),
        ("dbname=x application_name=powertools", {}, "powertools"),
        (f"dbname=x application_name={'ü' * 40}", {}, "ü" * 26 + " powertools"),
    ],
)
def test_the_hosts_application_name_is_kept_and_ours_appended(
    dsn: str, given: dict[str, Any], name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGAPPNAME", raising=False)

    found = parameters(dsn, given)

    assert found.get("application_name") == name
    assert found.get("fallback_application_name") == (None if name else "powertools")


def test_a_name_from_the_environment_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGAPPNAME", "shop")

    assert parameters("dbname=x")["application_name"] == "shop powertools"


def test_the_hosts_dsn_cannot_take_our_bounds_away() -> None:
    found = parameters("dbname=x keepalives=0 connect_timeout=0 client_encoding=LATIN1")

    assert {name: found[name] for name in CONNECTION_OPTIONS} == dict(CONNECTION_OPTIONS)


# A pool that asks functions


@pytest.mark.parametrize("how", ["conninfo", "async conninfo", "kwargs", "async kwargs"])
async def test_a_pools_functions_are_asked_at_each_connection(how: str, shared_dsn: str) -> None:
    names = iter(["one", "two", "three", "four", "five", "six"])

    def conninfo() -> str:
        return f"{shared_dsn}&application_name={next(names)}"

    async def conninfo_later() -> str:
        return conninfo()

    def kwargs() -> dict[str, Any]:
        return {"application_name": next(names)}

    async def kwargs_later() -> dict[str, Any]:
        return kwargs()

    function = {"conninfo": conninfo, "async conninfo": conninfo_later}.get(how, shared_dsn)
    options = {"kwargs": kwargs, "async kwargs": kwargs_later}.get(how)
    source: AsyncConnectionPool[Any] = AsyncConnectionPool(function, kwargs=options, open=False)

    async with own_pool(source, 1) as pool:
        async with pool.connection() as conn:
            first = await told(conn, ["application_name"])
            await conn.close()
        async with pool.connection() as conn:
            second = await told(conn, ["application_name"])
    async with await own_connection(source) as conn:
        third = await told(conn, ["application_name"])

    found = [row["application_name"] for row in (first, second, third)]
    assert found == ["one powertools", "two powertools", "three powertools"]


# Anybody's session

SPANS = """
SELECT extract(epoch FROM w.expires_at - w.inserted_at)::bigint AS expires,
  (SELECT extract(epoch FROM j.scheduled_at - j.inserted_at)::bigint FROM oban_jobs j WHERE j.id = s.job_id) AS later,
  (SELECT extract(epoch FROM v.deadline_at - v.registered_at)::bigint FROM powertools.waits v) AS waits,
  round(extract(epoch FROM s.held_until - clock_timestamp()) / 60)::bigint * 60 AS held
FROM powertools.workflows w JOIN powertools.steps s ON s.workflow_id = w.id AND s.name = 'later'
WHERE w.id = %s
"""

PLAYED = {
    "inserted": [True, False],
    "spans": [dict.fromkeys(("expires", "later", "waits", "held"), int(SPAN.total_seconds()))],
    "recovered": "available",
    "state": "completed",
    "told": ({"a": 'q"\\ü'}, ("a,b", "c\\d", "NULL")),
    "results": {
        "first": {"x": [1, None, 2.5], "t": "ü'\\"},
        "second": "0.1",
        "fails": {"by": "hand"},
        "after": None,
        "later": None,
        "told": {"by": "ann"},
        "nested": {"leaf": 3.3},
    },
    "args": {"of": {"x": [1, None, 2.5], "t": "ü'\\"}, "n": 0.1},
    "error": "LookupError: no C:\\temp\\new; password=[redacted] {a}",
    "faults": [],
    "invariants": [],
}
"""What a workflow of everything comes to, in whatever sessions."""


async def play(hand: Hand, conn: AsyncConnection[Any] | None = None) -> dict[str, Any]:
    """Insert, run and command a workflow of everything, in hand's sessions and, where it can be given, in this one."""
    workflows, by = hand.workflows, {"actor": "ann", "reason": "to see it", "conn": conn}
    inner = Workflow("inner", expires_in=SPAN)
    inner.add("leaf", step({"n": 1.1}))
    workflow = Workflow(
        "everything", expires_in=SPAN, idempotency_key="k", context={"a": 'q"\\ü'}, tags=["a,b", "c\\d", "NULL"]
    )
    first = workflow.add("first", step({"text": 'x\\y "z"'}))
    workflow.add("second", step({"of": first.result, "n": 0.1}))
    workflow.add("fails", step(), deps=["second"])
    workflow.add("after", step(), deps={"fails": "continue"})
    workflow.add("later", step(), delay=SPAN)
    workflow.await_signal("told", signal="go", correlation_key="k", deadline=SPAN, deps=["first"])
    workflow.add_workflow("nested", inner, deps=["second"])
    found: dict[str, Any] = {}

    handles = [await workflows.insert(workflow, conn=conn) for _ in range(2)]
    found["inserted"] = [handle.inserted for handle in handles]
    key = handles[0].id
    await hand.run(key, {"first": {"x": [1, None, 2.5], "t": "ü'\\"}})
    await workflows.hold(key, "later", hold_for=SPAN, **by)
    found["spans"] = await hand.rows(SPANS, key)
    await workflows.release(key, "later", **by)
    await workflows.signal("go", "k", {"by": "ann"}, dedupe_key="d", conn=conn)
    found["args"] = (await hand.job(key, "second")).args
    await hand.run(key, {"second": "0.1"})
    await hand.run(key, {"fails": LookupError("no C:\\temp\\new; password=hunter2 {a}")})
    await workflows.recover(key, "fails", **by)
    found["recovered"] = (await hand.states(key))["fails"]
    for name, payload in (("fails", {"by": "hand"}), ("later", None)):
        await workflows.complete_step(key, name, payload=payload, conn=conn)
    await hand.run_all(key)
    nested = (await hand.steps(key))["nested"].child_id
    assert nested is not None
    await hand.run(nested, {"leaf": 3.3})
    record = await workflows.get(key)
    found |= {"state": record.state.value, "told": (record.context, record.tags)}
    found["results"] = await workflows.results(key)
    events = await hand.powertools.events.read(since=Cursor(0), workflow_id=key)
    found["error"] = next(event.error for event in events if isinstance(event, StepUpdated) and event.error)
    found["faults"] = await hand.rows("SELECT sqlstate, message FROM powertools.settle_faults")
    found["invariants"] = list(await hand.violations())
    return found


# psycopg, which reads the jobs, takes JSON for UTF-8.
@pytest.mark.parametrize("name", sorted({*HOSTILE} - {"client_encoding"}))
@pytest.mark.parametrize("turbo", [True, False], ids=["turbo", "stock"])
async def test_whatever_the_hosts_sessions_are_set_to_a_workflow_comes_to_the_same(
    name: str, shared_dsn: str, *, turbo: bool
) -> None:
    async with by_hand(hostile(shared_dsn, **{name: HOSTILE[name]}), turbo=turbo) as hand:
        found = await play(hand)

    assert found == PLAYED


@pytest.mark.parametrize("name", sorted(HOSTILE))
async def test_whatever_the_callers_session_is_set_to_a_workflow_comes_to_the_same(name: str, hand: Hand) -> None:
    dsn = hostile(hand.dsn, **{name: HOSTILE[name]})

    async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
        found = await play(hand, conn)

    assert found == PLAYED


class Shouting(Loader):
    """A host's own way to read a type."""

    def load(self, data: Any) -> str:
        return f"{bytes(data)!r}!"


def read_all_its_own_way(conn: AsyncConnection[Any]) -> None:
    for name in ("timestamptz", "int8", "int4", "text", "jsonb", "bool", "text[]"):
        conn.adapters.register_loader(name, Shouting)


HABITS: dict[str, Callable[[AsyncConnection[Any]], object]] = {
    "rows as dicts": lambda conn: setattr(conn, "row_factory", dict_row),
    "rows as named tuples": lambda conn: setattr(conn, "row_factory", namedtuple_row),
    "cursors that bind on the client": lambda conn: setattr(conn, "cursor_factory", AsyncClientCursor),
    "cursors that bind as libpq does": lambda conn: setattr(conn, "cursor_factory", AsyncRawCursor),
    "everything prepared": lambda conn: setattr(conn, "prepare_threshold", 0),
    "nothing prepared": lambda conn: setattr(conn, "prepare_threshold", None),
    "loaders of its own": read_all_its_own_way,
    "JSON of its own": lambda conn: set_json_loads(lambda text: "json!", conn),
    "dicts as JSON": lambda conn: conn.adapters.register_dumper(dict, JsonbDumper),
    "text with its type": lambda conn: conn.adapters.register_dumper(str, StrBinaryDumper),
}
"""What hosts do to their connections."""


@pytest.mark.parametrize("habit", sorted(HABITS))
async def test_whatever_the_callers_connection_is_used_to_a_workflow_comes_to_the_same(habit: str, hand: Hand) -> None:
    async with await AsyncConnection.connect(hand.dsn, autocommit=True) as conn:
        HABITS[habit](conn)
        found = await play(hand, conn)

    assert found == PLAYED


@pytest.mark.parametrize(
    "options",
    [
        {"row_factory": namedtuple_row},
        {"autocommit": True},
        {"prepare_threshold": None},
        {"prepare_threshold": 0},
        {"cursor_factory": AsyncClientCursor},
    ],
    ids=["named tuples", "autocommit", "never prepared", "prepared at once", "bound by the client"],
)
async def test_powertools_runs_on_whatever_pool_oban_runs_on(options: dict[str, Any], dsn: str) -> None:
    async with AsyncConnectionPool(dsn, kwargs=options, open=False) as pool:
        oban = Oban(pool=pool, queues={"default": 5})
        powertools = Powertools(oban, authorize=everybody_may)
        async with oban, powertools:
            workflow = Workflow("one")
            workflow.add("a", quick.new(n=1))
            record = await (await powertools.workflows.insert(workflow)).wait(timeout=timedelta(seconds=20))

    await powertools.close()
    assert record.state == "completed"


async def test_an_insert_in_a_pipeline_is_refused_and_leaves_the_transaction(hand: Hand) -> None:
    async with await AsyncConnection.connect(hand.dsn, autocommit=True) as conn, conn.transaction():
        async with conn.pipeline():
            with pytest.raises(InvalidArgumentError, match="pipeline"):
                await hand.workflows.insert(chain(1), conn=conn)
        [[number]] = await (await conn.execute("SELECT 1")).fetchall()

    assert number == 1
