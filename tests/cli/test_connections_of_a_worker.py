"""How many connections a worker process has on a live server: as many as the page for production says."""

import re
import signal
from pathlib import Path

import psycopg

from tests.support.by_hand import Hand
from tests.support.command import worker
from tests.support.ledger import eventually

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-in-production.md"
COUNT = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = %s AND pid <> pg_backend_pid()
"""


def documented() -> list[tuple[str, int, int]]:
    """What connections are for, how many there are at rest, and at most."""
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    return [(what, int(at_rest), int(at_most)) for what, at_rest, at_most in rows]


async def test_a_worker_process_that_waits_has_as_many_connections_as_the_page_says(hand: Hand, tmp_path: Path) -> None:
    least = sum(at_rest for _, at_rest, _ in documented())
    most = sum(at_most for _, at_rest, at_most in documented() if at_rest)

    with worker("--queues", "default:2,mail:2", dsn=hand.dsn, cwd=tmp_path, PGAPPNAME="counted") as running:
        running.read_until("working on")
        async with await psycopg.AsyncConnection.connect(hand.dsn, autocommit=True) as conn:

            async def count() -> int:
                cursor = await conn.execute("SELECT count(*) FROM powertools.executors WHERE stopped_at IS NULL")
                beating = await cursor.fetchone()
                cursor = await conn.execute(COUNT, ("counted powertools",))
                found = await cursor.fetchone()
                assert beating is not None
                assert found is not None
                return found[0] if beating[0] == 2 else 0

            found = await eventually(count, within=30)
            assert least <= found <= most
        running.signal(signal.SIGTERM)
        assert running.end() == 0


def test_the_page_counts_the_parts_it_names() -> None:
    text = PAGE.read_text()
    always = [row for row in documented() if row[1]]

    assert f"A worker has {sum(row[1] for row in always)} at least" in text
    assert f"and {sum(row[2] for row in always)} at most" in text
