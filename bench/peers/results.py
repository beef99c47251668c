"""What was measured, as one JSON document: every run of every row, who took part, and on what."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
import psycopg

from bench.peers.environments import ROOT
from bench.peers.lineup import BASE, Candidate
from bench.peers.work import Peer

SETTINGS: Final = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "autovacuum",
    "track_commit_timestamp",
    "jit",
)

type Document = dict[str, Any]
type Row = dict[str, Any]


def new_document(dsn: str, *, rounds: int, small: bool, redis: str | None) -> Document:
    """Without anything measured yet."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": _machine(),
        "postgres": _postgres(dsn),
        "redis": redis,
        "rounds": rounds,
        "small": small,
        "systems": {},
        "rows": [],
    }


def describe(peer: type[Peer], versions: dict[str, str], missing: str | None) -> dict[str, Any]:
    """A system that takes part, or, with a reason, does not."""
    return {
        "versions": versions,
        "about": peer.about,
        "lacks": peer.lacks,
        "workflows": peer.has_workflows,
        "missing": missing,
    }


def new_row(candidate: Candidate) -> Row:
    """Without anything measured yet."""
    return {
        "name": str(candidate),
        "system": candidate.system,
        "limit": candidate.limit,
        "processes": candidate.processes,
        "condition": candidate.condition,
        "payload": candidate.payload,
        "work": {name: work.to_json() for name, work in candidate.work.items()},
        "runs": {},
        "failed": {},
    }


def figures(row: Row, workload: str) -> list[float]:
    """One for each round: steps a second, or in W4 milliseconds a hop."""
    runs = row["runs"].get(workload, [])
    return [median(run["hops_ms"]) if workload == "W4" else run["steps_per_s"] for run in runs]


def ratios(document: Document, row: Row, workload: str) -> list[float]:
    """Of the row's figures to the base's in the same rounds; empty where the base did not do the same work."""
    base = _base(document, row, workload)
    if base is None or base is row:
        return []
    return [mine / its for mine, its in zip(figures(row, workload), figures(base, workload), strict=False)]


def _base(document: Document, row: Row, workload: str) -> Row | None:
    """The base's row that was best at this work."""
    same = [
        other
        for other in document["rows"]
        if other["system"] == BASE
        and other["payload"] == row["payload"]
        and other["work"].get(workload) == row["work"].get(workload)
        and figures(other, workload)
    ]
    worst_first = sorted(same, key=lambda other: median(figures(other, workload)), reverse=workload == "W4")
    return worst_first[-1] if worst_first else None


def _commit() -> str:
    command = ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _machine() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _postgres(dsn: str) -> dict[str, str]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        query = b"SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
        settings = dict(conn.execute(query, [list(SETTINGS)]).fetchall())
        version = f"{conn.info.server_version // 10000}.{conn.info.server_version % 10000}"
    return {"version": version, **settings}
