"""Insert any number of plain jobs in one statement. Not for steps: the database inserts their jobs.

A job is stored as Oban's own insert would store it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from oban import Job
from psycopg.types.json import Jsonb

from ..database import Session
from ..database.values import naive


async def insert_in_bulk(session: Session, jobs: Sequence[Job]) -> list[Job]:
    """Insert these, and set on each what the database generated: its id, instants and state."""
    rows = await session.all("insert_jobs", _columns(jobs), adapters=session.conn)
    for job, row in zip(jobs, rows, strict=True):
        for field, value in row.items():
            setattr(job, field, value)
    return list(jobs)


def _columns(jobs: Sequence[Job]) -> dict[str, Any]:
    # Jsonb, so that a connection's own JSON functions apply as they do in Oban's insert.
    return {
        "states": [job.state for job in jobs],
        "queues": [job.queue for job in jobs],
        "workers": [job.worker for job in jobs],
        "max_attempts": [job.max_attempts for job in jobs],
        "priorities": [job.priority for job in jobs],
        "args": [Jsonb(job.args) for job in jobs],
        "metas": [Jsonb(job.meta) for job in jobs],
        "tags": [Jsonb(job.tags) for job in jobs],
        "inserted_ats": [_instant(job.inserted_at) for job in jobs],
        "scheduled_ats": [_instant(job.scheduled_at) for job in jobs],
    }


def _instant(at: datetime | None) -> datetime | None:
    return None if at is None else naive(at)
