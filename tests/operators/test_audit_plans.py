"""The audit is read and sealed by index, however much there is of it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import tuple_row

from tests.support.by_hand import Hand

FILL = """
INSERT INTO powertools.audit (at, actor_id, actor_type, action, target_type, target_id, outcome, surface)
SELECT now() - interval '1 day' + g * interval '1 second', 'u' || g %% 500, 'user', 'job_' || g %% 300, 'job',
  (g / 5)::text, CASE WHEN g %% 400 = 0 THEN 'refused' ELSE 'executed' END, 'api'
FROM generate_series(1, %s) AS g
"""
NOTHING: dict[str, Any] = dict.fromkeys(
    ["actor", "action", "target_type", "target_id", "outcome", "actor_type", "surface", "since", "until", "before"]
)
FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "the next page": {"before": 15_000},
    "an actor": {"actor": "u7"},
    "an action": {"action": "job_7"},
    "a target": {"target_type": "job", "target_id": "77"},
    "an outcome": {"outcome": "refused"},
    "a type of actors": {"actor_type": "user"},
    "a surface": {"surface": "api"},
    "an end": {"until": datetime.now(UTC) - timedelta(hours=23)},
    "an instant": {"since": datetime.now(UTC) + timedelta(days=365)},
}


@pytest.fixture
async def filled(hand: Hand) -> Hand:
    """20,000 records that are sealed, and 10 that are not."""
    await hand.rows(FILL, 20_000)
    while await hand.one("SELECT sealed FROM powertools.seal_audit_v1(1000)"):
        pass
    await hand.rows(FILL, 10)
    await hand.rows("ANALYZE")
    return hand


async def plan(hand: Hand, query: str, args: dict[str, Any]) -> str:
    async with psycopg.AsyncClientCursor(hand.conn, row_factory=tuple_row) as cursor:
        await cursor.execute(b"EXPLAIN (ANALYZE, TIMING off) " + hand.powertools._services.queries[query], args)
        return "\n".join(line for (line,) in await cursor.fetchall())


@pytest.mark.parametrize("given", FILTERS)
async def test_a_page_is_read_by_index_whatever_it_is_filtered_by(filled: Hand, given: str) -> None:
    read = await plan(filled, "list_audit", NOTHING | FILTERS[given] | {"page": 10})

    assert "Seq Scan" not in read, read
    removed = sum(map(int, re.findall(r"Rows Removed by Filter: (\d+)", read)))
    assert removed < 4000, read


async def test_what_is_unsealed_is_found_by_index(filled: Hand) -> None:
    async with psycopg.AsyncClientCursor(filled.conn, row_factory=tuple_row) as cursor:
        await cursor.execute("EXPLAIN SELECT FROM powertools.audit_links l WHERE l.seal_id IS NULL LIMIT 1")
        read = "\n".join(line for (line,) in await cursor.fetchall())

    assert "audit_links_unsealed" in read


async def test_a_page_of_a_verification_reads_that_page_only(filled: Hand) -> None:
    rows = await plan(filled, "verify_audit_rows", {"after": 5000, "page": 100})
    seals = await plan(filled, "verify_audit_seals", {"after": 5, "page": 2})

    assert "Seq Scan" not in rows, rows
    assert "Seq Scan on audit_links" not in seals, seals
