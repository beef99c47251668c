"""Reading stays a matter of the page, however large the log is, and whatever the statistics say."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from oban_powertools.config import Names
from oban_powertools.database import Connection, Queries, connect

FILL = """
ALTER TABLE powertools.events SET (autovacuum_enabled = off);
INSERT INTO powertools.workflows (id, root_id, name, state, context, total, open, semantics_version, finished_at)
OVERRIDING SYSTEM VALUE
SELECT w, w, 'w' || w, 'completed', '{}', 100, 0, 2, now() FROM generate_series(1, 2000) AS w;
INSERT INTO powertools.steps (
  workflow_id, position, pending, state, kind, worker, queue, depth, name, args, released_at, finished_at
)
SELECT w, p, 0, 'completed', 'job', 'a.B', 'default', 0, 's' || p, '{}', now(), now()
FROM generate_series(1, 2000) AS w CROSS JOIN generate_series(0, 9) AS p;
INSERT INTO powertools.events (workflow_id, number, position, batch_id, place, change, state)
SELECT w, n, n % 10, (w - 1) / 10 * 100 + n, (w - 1) % 10 + 1, 'released', 'available'
FROM generate_series(1, 2000) AS w CROSS JOIN generate_series(1, 100) AS n;
INSERT INTO powertools.event_batches (id, last_cursor, events, workflow_ids, first_numbers, last_numbers)
OVERRIDING SYSTEM VALUE
SELECT e.batch_id, e.batch_id * 10, 10, array_agg(e.workflow_id), array_agg(e.number), array_agg(e.number)
FROM powertools.events e GROUP BY e.batch_id;
INSERT INTO powertools.notices (batch_id, place, cursor, topic, subject_id, kind, data)
SELECT 100000 + n, 1, 200000 + n, 'incident', n % 100, 'incident.opened', '{}' FROM generate_series(1, 20000) AS n;
INSERT INTO powertools.event_batches (id, last_cursor, events, workflow_ids, first_numbers, last_numbers)
OVERRIDING SYSTEM VALUE
SELECT n.batch_id, n.cursor, 1, '{}', '{}', '{}' FROM powertools.notices n;
UPDATE powertools.event_log SET head = 220000;
"""
"""200,000 events of 2,000 workflows, in batches of one event of each of ten workflows; then 20,000 notices."""


@pytest.fixture(params=["never analyzed", "analyzed"])
def large(request: pytest.FixtureRequest, dsn: str) -> Iterator[tuple[asyncio.Runner, Connection]]:
    with asyncio.Runner() as runner:
        conn = runner.run(connect(dsn))
        runner.run(conn.execute(FILL.encode(), prepare=False))
        if request.param == "analyzed":
            runner.run(conn.execute(b"ANALYZE"))
        yield runner, conn
        runner.run(conn.close())


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_page_is_read_through_indexes(large: tuple[asyncio.Runner, Connection], mode: str) -> None:
    runner, conn = large
    runner.run(conn.execute(f"SET plan_cache_mode = {mode}".encode()))

    for since in (0, 100_000, 199_500, 200_000, 219_000):
        page = runner.run(_explain(conn, "read_log", since=since, page=500))
        of_one = runner.run(_explain(conn, "read_workflow_log", workflow_id=1234, since=since, page=500))
        topic = {"topic": "incident", "since": since, "page": 500}
        notices = runner.run(_explain(conn, "read_notices", **topic, subject_id=None))
        of_incident = runner.run(_explain(conn, "read_notices", **topic, subject_id="7"))

        for plan, most in ((page, 10_000), (of_one, 2000), (notices, 2000), (of_incident, 2000)):
            assert [node for node in _nodes(plan) if _scans_a_growing_table(node)] == [], json.dumps(plan, indent=1)
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < most, f"{since}: {json.dumps(plan)}"


async def _explain(conn: Connection, name: str, **args: Any) -> dict[str, Any]:
    text = b"\n".join(line for line in Queries(Names())[name].splitlines() if not line.lstrip().startswith(b"--"))
    found = await conn.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + text, args, prepare=True)
    return (await found.fetchall())[0][0][0]["Plan"]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


def _scans_a_growing_table(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Seq Scan" and node["Relation Name"] != "event_log"
