"""Behind pgbouncer in transaction mode everything works, and nothing of ours is left in its sessions."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from oban.decorators import job

from oban_powertools import Powertools, Workflow
from oban_powertools.database.session_settings import FOLLOWED_BY_POOLERS, OWN_BOUNDS, SESSION_SETTINGS
from oban_powertools.embedded import SYSTEM_USER
from tests.support.by_hand import everybody_may
from tests.support.ledger import eventually

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
"""

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="needs pgbouncer")


@job(queue="default", max_attempts=3)
async def quick(n: int) -> int:
    return n


@pytest.fixture
def pooled_dsn(dsn: str, tmp_path: Path) -> Iterator[str]:
    """The test's database through a pgbouncer of its own."""
    parts = urlsplit(dsn)
    where = parse_qs(parts.query)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    # auth_type any: everybody is the user that the server is told.
    text = SETTINGS.format(host=where["host"][0], port=where.get("port", ["5432"])[0], own=own)
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(text.replace("port=", "user=postgres port=", 1))
    owner = pwd.getpwnam(SYSTEM_USER).pw_uid if os.geteuid() == 0 else None
    settings.chmod(0o644)
    with settings.open() as given, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([str(PGBOUNCER), "/dev/stdin"], stdin=given, stdout=log, stderr=log, user=owner)
    try:
        yield f"postgresql://postgres@127.0.0.1:{own}{parts.path}"
    finally:
        process.kill()
        process.wait()


async def answers(dsn: str) -> bool:
    try:
        async with await psycopg.AsyncConnection.connect(dsn):
            return True
    except psycopg.OperationalError:
        return False


async def test_a_workflow_runs_and_no_other_client_gets_our_settings(pooled_dsn: str) -> None:
    await eventually(lambda: answers(pooled_dsn))
    workflow = Workflow("pooled", expires_in=timedelta(days=1))
    first = workflow.add("first", quick.new(n=1))
    workflow.add("second", quick.new(n=first.result))

    async with Powertools.open(pooled_dsn, queues={"default": 5}, authorize=everybody_may) as powertools:
        handles = [await powertools.workflows.insert(workflow) for _ in range(8)]
        records = [await handle.wait(timeout=timedelta(seconds=60)) for handle in handles]
    apart = [name for name in {**SESSION_SETTINGS, **OWN_BOUNDS} if name not in FOLLOWED_BY_POOLERS]
    async with await psycopg.AsyncConnection.connect(pooled_dsn, autocommit=True, prepare_threshold=None) as conn:
        found = await (
            await conn.execute(
                "SELECT name, source FROM pg_settings WHERE name = ANY (%s) AND source = 'session'", [apart]
            )
        ).fetchall()

    assert [record.state for record in records] == ["completed"] * 8
    assert found == []
