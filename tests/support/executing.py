"""Executors and what they have in hand, as a test wants them: on the fixture ``hand``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from oban_powertools import ExecutorHealth, Workflow
from oban_powertools.runtime.executors import list_health
from oban_powertools.runtime.rescue import Rescuer
from tests.support.by_hand import Hand, step

WITNESS = "witness"
"""A producer that has nothing in hand."""


def heartbeat(producer: str = "p1", **more: Any) -> dict[str, Any]:
    executor_id = f"app:oban:default:node-a:{producer}"
    return {"executor_id": executor_id, "node": "node-a", "producer_scope": "default", **more}


async def beat(hand: Hand, *producers: str, gone_after: float = 15) -> None:
    """Beats of producers that promise to beat within so many seconds."""
    promise = timedelta(seconds=gone_after)
    await hand.powertools.lifeline.refresh_heartbeats([heartbeat(p, gone_after=promise) for p in producers])


async def silent(hand: Hand, producer: str, seconds: float) -> None:
    """As if this producer had been silent for so long."""
    await hand.rows(
        "UPDATE powertools.executors SET started_at = started_at - s, beat_at = beat_at - s,"
        " loop_beat_at = loop_beat_at - s, beating_since = beating_since - s"
        " FROM make_interval(secs => %s) AS s WHERE producer = %s",
        seconds,
        producer,
    )


async def watching(hand: Hand, seconds: float, *, producer: str = WITNESS, gone_after: float = 15) -> None:
    """A producer beats that has been doing so without a gap for so long."""
    await beat(hand, producer, gone_after=gone_after)
    await hand.rows(
        "UPDATE powertools.executors SET started_at = now() - s, beating_since = now() - s"
        " FROM make_interval(secs => %s) AS s WHERE producer = %s",
        seconds,
        producer,
    )


async def stop(hand: Hand, producer: str, *, abrupt: bool = False) -> None:
    """This producer has stopped: in good order, or because its process ended."""
    ids = [heartbeat(producer)["executor_id"]]
    await hand.conn.execute(
        hand.powertools._services.queries["stop_executors"], {"executor_ids": ids, "abrupt_ids": ids if abrupt else []}
    )


async def die(hand: Hand, producer: str) -> None:
    """This producer is gone: it has been silent for a minute, and somebody watched."""
    await beat(hand, producer)
    await silent(hand, producer, 60)
    await watching(hand, 60)


async def take(hand: Hand, job_id: int | None, producer: str, *, ago: float = 0) -> None:
    """This producer fetches a job, so many seconds ago."""
    await hand.rows(
        "UPDATE oban_jobs SET state = 'executing', attempt = attempt + 1, attempted_by = ARRAY['node-a', %s],"
        " attempted_at = timezone('UTC', clock_timestamp() - make_interval(secs => %s)) WHERE id = %s",
        producer,
        ago,
        job_id,
    )


async def gone(hand: Hand) -> dict[str, str]:
    """Producer -> why, of those that are gone."""
    return {row["producer"]: row["why"] for row in await hand.rows("SELECT * FROM powertools.gone_executors")}


async def health(hand: Hand, now: datetime | None = None, **settings: Any) -> dict[str, ExecutorHealth]:
    """Producer -> its health, with these settings."""
    await hand.settings(**settings)
    found = await list_health(hand.session, now)
    return {executor.executor_id.rpartition(":")[2]: executor for executor in found}


async def rescue(hand: Hand, *, thorough: bool = False, **settings: Any) -> int:
    """One look for what is to be rescued, with these settings; how many were."""
    rescuer = Rescuer(await hand.settings(**settings), dict)
    return await rescuer.rescue(hand.session, thorough=thorough)


async def rescues(hand: Hand) -> list[tuple[Any, ...]]:
    """(why, action, crashes) of each rescue, oldest first."""
    rows = await hand.rows("SELECT why, action, crashes FROM powertools.rescues ORDER BY id")
    return [tuple(row.values()) for row in rows]


async def late_success(hand: Hand) -> int:
    """The id of a late result: the only step's job succeeded after its rescue, with what was paid."""
    workflow = Workflow("late")
    workflow.add("s0", step(max_attempts=3))
    workflow_id = await hand.insert(workflow)
    await take(hand, (await hand.job(workflow_id, "s0")).id, "p1")
    running = await hand.job(workflow_id, "s0")
    await die(hand, "p1")
    await rescue(hand)
    await hand.ack(await hand.execute(running, {"paid": 30}))
    return await hand.one("SELECT id FROM powertools.late_results WHERE job_id = %s", running.id)


async def job(hand: Hand, job_id: int | None) -> dict[str, Any]:
    """The job's row."""
    [row] = await hand.rows("SELECT * FROM oban_jobs WHERE id = %s", job_id)
    return row


LONG_AGO = "now() - interval '1 day'"
"""For ``restarted``: the server has been up for long."""


@asynccontextmanager
async def restarted(hand: Hand, at: str = "clock_timestamp()") -> AsyncIterator[None]:
    """As if the server had been started at this instant."""
    text: str = await hand.one("SELECT pg_get_functiondef('powertools.server_started_at'::regproc)")
    await hand.rows(
        "CREATE OR REPLACE FUNCTION powertools.server_started_at() RETURNS timestamptz LANGUAGE sql STABLE"
        f" AS $f$ SELECT {at} $f$"
    )
    try:
        yield
    finally:
        await hand.rows(text)
