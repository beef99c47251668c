"""Check the invariants of the data, with the queries that this project's own tests use.

They read every row, which takes long on a large database and keeps vacuum from cleaning up meanwhile. So whole
families of workflows are copied to temporary tables, some thousand steps at a time, each time in one snapshot, and the
queries run on the copy: for a sample of families, or for all of them one after another.
"""

import re
from importlib.resources import files
from typing import Any, Final

from ...config import Names
from ...database import Session, render
from ...database.functions import body_of
from .finding import Finding, Level

_AT_ONCE: Final = 50_000
"""Steps that are copied at once; a family that has more is copied whole."""

_COPY: Final = files("oban_powertools.database.sql").joinpath("doctor_copy.sql")
_COPIED: Final = "workflows steps edges waits signals events deferred_starts settle_faults"
_COLUMNS: Final = ("invariant", "workflow_id", "step_position", "detail")
_TODO: Final = "note the workflow; `powertools workflow explain`, then report it: no fault of yours should do this"


async def check_sample(session: Session) -> list[Finding]:
    """The oldest and the newest unfinished workflows, and the newest of all, at most about 50,000 steps of them."""
    roots = await session.one("doctor_sample", {"steps": _AT_ONCE})
    assert roots is not None
    return await _check(session, roots["ids"])


async def check_all(session: Session) -> list[Finding]:
    """Every workflow, family after family, jobs that claim to be a step's and are not, and callbacks made twice."""
    findings: list[Finding] = []
    after: int | None = 0
    while after is not None:
        chunk = await session.one("doctor_chunk", {"after": after, "steps": _AT_ONCE})
        assert chunk is not None
        findings += await _check(session, chunk["ids"])
        after = chunk["last"]
    rows = await session.all("doctor_strays")
    return findings + [_violation(row) for row in rows]


async def _check(session: Session, roots: list[int]) -> list[Finding]:
    if not roots:
        return []
    async with session.transaction(force_rollback=True):
        await session.conn.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await session.run("doctor_roots", {"roots": roots})
        await session.conn.execute(render(_COPY.read_text("utf-8"), session.queries.names))
        rows = await (await session.conn.execute(_on_the_copy(session.queries.names))).fetchall()
        return [_violation(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _on_the_copy(names: Names) -> bytes:
    """The body of check_invariants_v1, reading the copies."""
    tables = "|".join(_COPIED.split())
    on_copies = re.sub(rf"\bpowertools\.({tables})\b", r"pg_temp.\1", body_of("check_invariants_v1"))
    return render(on_copies.replace("public.oban_jobs", "pg_temp.jobs"), names)


def _violation(row: dict[str, Any]) -> Finding:
    step = "" if row["step_position"] is None else f", step at position {row['step_position']}"
    return Finding(
        check="invariants",
        level=Level.ERROR,
        subject=f"workflow {row['workflow_id']}{step}",
        found=row["detail"],
        expected=row["invariant"],
        todo=_TODO,
    )
