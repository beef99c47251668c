"""The roles: who runs can add to the audit and nothing else, and everything works for them."""

import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from oban_powertools import Powertools, Workflow, schema
from oban_powertools.config import Names
from oban_powertools.database import Connection
from oban_powertools.errors import InvalidSettingError
from tests.support.by_hand import Hand, chain, everybody_may, step
from tests.support.command import powertools as command

ROW = """
INSERT INTO powertools.audit (actor_id, actor_type, action, target_type, target_id, outcome, surface)
VALUES ('kim', 'user', 'workflow_cancel', 'workflow', '41', 'executed', 'api')
"""
ATTACKS = {
    "update": "UPDATE powertools.audit SET reason = 'harmless'",
    "delete": "DELETE FROM powertools.audit",
    "truncate": "TRUNCATE powertools.audit",
    "disable the trigger": "ALTER TABLE powertools.audit DISABLE TRIGGER audit_guard",
    "play a replica": "SET session_replication_role = replica; DELETE FROM powertools.audit",
}
BEHIND = (
    "UPDATE powertools.audit_links SET row_hash = ''",
    "DELETE FROM powertools.audit_links",
    "DELETE FROM powertools.audit_seals",
    "UPDATE powertools.audit_seals SET hash = ''",
    "UPDATE powertools.audit_chain SET pruned_to = 100",
    "UPDATE powertools.audit_chain SET kept_for_at_least = '0'",
    "INSERT INTO powertools.audit_links (audit_id, row_hash) VALUES (100, '')",
    "DELETE FROM powertools.migrations",
    "CREATE OR REPLACE FUNCTION powertools.guard_audit_v1() RETURNS trigger LANGUAGE sql AS ''",
)


@pytest.fixture(scope="session")
def roles(server_dsn: str) -> Iterator[dict[str, str]]:
    """Two roles of this session's own, because roles belong to the whole server."""
    names = {"run": f"tests_run_{os.getpid()}", "read": f"tests_read_{os.getpid()}"}
    yield names
    with psycopg.connect(server_dsn, autocommit=True) as conn:
        for name in names.values():
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.fixture
def granted(dsn: str, roles: dict[str, str]) -> dict[str, str]:
    """Role -> a DSN that logs in as it, on a database with the grants of ``powertools roles``."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        for _ in range(2):
            conn.execute(schema.roles_sql(run=roles["run"], read=roles["read"]).encode())
        for name in roles.values():
            conn.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(name)))
        conn.execute(ROW.encode())
    return {role: make_conninfo(dsn, user=name, password="x") for role, name in roles.items()}


@pytest.fixture
async def app(granted: dict[str, str]) -> AsyncIterator[Connection]:
    """A session of the role that runs."""
    async with await psycopg.AsyncConnection.connect(granted["run"], autocommit=True) as conn:
        yield conn


@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_role_that_runs_cannot_tamper_with_the_audit(app: Connection, attack: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await app.execute(ATTACKS[attack].encode())


@pytest.mark.parametrize("statement", BEHIND)
async def test_the_role_that_runs_cannot_tamper_with_what_guards_the_audit(app: Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await app.execute(statement.encode())


async def test_the_role_that_runs_cannot_choose_a_records_id_or_time(app: Connection) -> None:
    for column, value in (("at", "'2020-01-01'"), ("id", "7")):
        backdated = ROW.replace("(actor_id", f"({column}, actor_id").replace("('kim'", f"({value}, 'kim'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await app.execute(backdated.replace("VALUES", "OVERRIDING SYSTEM VALUE VALUES").encode())

    await app.execute(ROW.encode())


@pytest.mark.parametrize("attack", ["update", "delete", "truncate", "play a replica"])
async def test_a_superuser_is_refused_too_as_long_as_the_triggers_are_on(hand: Hand, attack: str) -> None:
    await hand.rows(ROW)

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="the audit is append-only"):
        await hand.rows(ATTACKS[attack])

    await hand.rows("SET session_replication_role = DEFAULT")
    assert await hand.one("SELECT count(*) FROM powertools.audit") == 1


async def test_a_superuser_who_switches_the_triggers_off_is_revealed(hand: Hand) -> None:
    await hand.rows(ROW)

    await hand.rows(f"{ATTACKS['disable the trigger']}; {ATTACKS['update']}")

    found = await hand.powertools.audit.verify()
    assert [(f.kind, f.audit_id) for f in found.findings] == [("unguarded", None), ("changed", 1)]


@pytest.mark.parametrize("turbo", [True, False])
async def test_everything_works_for_the_role_that_runs(granted: dict[str, str], turbo: bool) -> None:
    ada: Any = {"actor": "ada", "reason": "because of a test"}
    waiting = Workflow("waiting")
    waiting.add("s0", step(queue="later"))
    async with Powertools.open(
        granted["run"], queues={"default": 5}, authorize=everybody_may, turbo=turbo
    ) as powertools:
        held = await powertools.workflows.insert(waiting)
        await powertools.workflows.hold(held.id, hold_for=timedelta(hours=1), **ada)
        await powertools.workflows.request_cancel(held.id, **ada)
        ended = [await held.wait(timeout=timedelta(seconds=20))]
        failing = await powertools.workflows.insert(chain(2))
        ended.append(await failing.wait(timeout=timedelta(seconds=20)))
        await powertools.workflows.recover(failing.id, **ada)
        found = await powertools.audit.verify()

    assert [record.state for record in ended] == ["cancelled", "failed"]
    assert (found.sound, found.rows) == (True, 4)


async def test_the_role_that_reads_changes_nothing(granted: dict[str, str]) -> None:
    for statement in (ROW, "UPDATE powertools.workflows SET name = 'x'", "DELETE FROM oban_jobs", *BEHIND):
        async with await psycopg.AsyncConnection.connect(granted["read"]) as conn:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await conn.execute(statement.encode())


async def test_only_the_role_that_runs_gets_the_rights_of_the_owner_by_a_function(
    granted: dict[str, str], roles: dict[str, str]
) -> None:
    async with await psycopg.AsyncConnection.connect(granted["read"]) as conn:
        cursor = await conn.execute(
            "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'powertools'::regnamespace AND p.prosecdef "
            "AND p.prorettype <> 'trigger'::regtype AND has_function_privilege(%s, p.oid, 'EXECUTE')",
            [roles["read"]],
        )
        assert await cursor.fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute("SELECT powertools.prune_webhooks_v1()")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("role", ["run", "read"])
async def test_every_command_that_only_reads_works_for_both_roles(dsn: str, granted: dict[str, str], role: str) -> None:
    async with Powertools.open(dsn, authorize=everybody_may) as powertools:
        workflow = Workflow("looked at")
        workflow.add("a", step())
        handle = await powertools.workflows.insert(workflow)
        await powertools.lifeline.preview_repair("ada", action="job_cancel", target_type="job", target_id="1")
        await powertools.workflows.request_cancel(handle.id, actor="ada", reason="because of a test")
        await powertools.webhooks.add("https://example.com/", actor="ada", reason="because of a test")
        await powertools.lifeline.project_incidents()

    ended = {
        words: command(*words.split(), dsn=granted[role])
        for words in (
            "status",
            "doctor",
            "doctor --deep",
            "check",
            "workflow list",
            "workflow show 1",
            "workflow show 1 --step a",
            "workflow show 1 --results",
            "workflow explain 1",
            "workflow explain 1 a",
            "workflow graph 1",
            "workflow commands 1",
            "job explain 1",
            "executors list",
            "incidents list",
            "audit list",
            "audit show 1",
            "audit verify",
            "retention status",
            "repair show 1",
            "repair list",
            "webhooks list",
            "webhooks deliveries 1",
        )
    }

    assert {words: end.err for words, end in ended.items() if end.code not in (0, 6) or "denied" in end.out} == {}


async def test_an_owner_who_may_not_create_roles_is_told_what_to_ask_for(
    server_dsn: str, empty_dsn: str, roles: dict[str, str]
) -> None:
    owner, run, read = (f"{role}_{os.getpid()}" for role in ("tests_owner", "tests_a", "tests_b"))
    text = schema.roles_sql(run=run, read=read).encode()
    with psycopg.connect(empty_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {owner} LOGIN".encode())
        admin.execute(
            f"GRANT CREATE ON DATABASE {admin.info.dbname} TO {owner}; GRANT ALL ON SCHEMA public TO {owner}".encode()
        )
        try:
            async with await psycopg.AsyncConnection.connect(
                make_conninfo(empty_dsn, user=owner), autocommit=True
            ) as conn:
                await schema.install(conn)
                with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
                    await conn.execute(text)
                assert refused.value.diag.message_hint is not None
                admin.execute(refused.value.diag.message_hint.partition(":")[2].encode())
                await conn.execute(text)

                cursor = await conn.execute("SELECT has_table_privilege(%s, 'powertools.steps', 'UPDATE')", [run])
                assert await cursor.fetchone() == (True,)
        finally:
            admin.execute(f"DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}".encode())
            admin.execute(f"DROP ROLE IF EXISTS {run}; DROP ROLE IF EXISTS {read}".encode())


@pytest.mark.parametrize("table", ["webhook_secrets", "repair_secret"])
async def test_the_role_that_reads_sees_no_secret(granted: dict[str, str], table: str) -> None:
    for role, may in (("read", False), ("run", True)):
        async with await psycopg.AsyncConnection.connect(granted[role]) as conn:
            cursor = await conn.execute("SELECT has_table_privilege(%s, 'SELECT')", [f"powertools.{table}"])
            assert await cursor.fetchone() == (may,)


async def test_the_grants_follow_other_schema_names(empty_dsn: str, roles: dict[str, str]) -> None:
    names = Names(schema="ours", prefix="theirs")
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as conn:
        await schema.install(conn, names)
        await conn.execute(schema.roles_sql(names, run=roles["run"], read=roles["read"]).encode())
        cursor = await conn.execute(
            "SELECT has_table_privilege(%(run)s, 'theirs.oban_jobs', 'UPDATE'), "
            "has_table_privilege(%(run)s, 'ours.audit', 'UPDATE')",
            roles,
        )
        assert await cursor.fetchone() == (True, False)


def test_the_command_prints_the_sql_for_the_names_it_is_told() -> None:
    printed = command("roles", "--run", "jobs", "--read", "looks", "--schema", "ours").out

    assert "GRANT USAGE ON SCHEMA ours TO jobs, looks;" in printed
    assert "powertools_run" not in printed
    assert command("roles", "--run", "jobs; DROP TABLE x").code == 2


def test_a_role_is_named_plainly() -> None:
    with pytest.raises(InvalidSettingError):
        schema.roles_sql(run='x"; DROP')
