"""Store checked plans: a constant number of statements for any number of workflows and steps.

Runs in the caller's transaction. Of one idempotency key there is one workflow: the unique index
``workflows_idempotency_key`` sees to it, and ``insert_workflows`` (``queries/workflows.sql``) inserts what is not there
yet. The rule that must never break: a workflow is stored whole, with the jobs of its
roots, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from psycopg.pq import PipelineStatus

from ..database import OwnCursor, Session
from ..errors import IdempotencyConflictError, InvalidArgumentError
from ..states import WorkflowId
from .plan import StepPlan, WorkflowPlan

_STEP_VALUES: Final = attrgetter(
    "position",
    "kind",
    "max_attempts",
    "priority",
    "depth",
    "name",
    "worker",
    "queue",
    "effects",
    "args",
    "template",
    "tags",
    "meta",
    "scheduled_at",
    "delay",
    "deadline",
    "item_template",
    "max_failures",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """The workflow that a plan became."""

    id: WorkflowId
    """The workflow's id."""

    inserted: bool
    """False when its idempotency key named a workflow that existed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A plan in the list of all that are stored at once; nested ones follow their parent."""

    plan: WorkflowPlan
    root: int
    parent: int | None = None
    parent_position: int | None = None


async def insert_plans(session: Session, plans: Sequence[WorkflowPlan]) -> list[Stored]:
    """Insert workflows with all their steps, their nested workflows, and the jobs of their roots.

    Three statements (four with idempotency keys that exist already), whatever the number of plans and
    steps. The queues are notified when the caller commits.

    Returns:
        One entry a plan, in the plans' order.

    Raises:
        IdempotencyConflictError: A key belongs to a workflow with another definition; roll back.
        InvalidArgumentError: The connection is in pipeline mode.

    Locks: the rows it inserts; an uncommitted insert of the same idempotency key is waited for.
    """
    if not plans:
        return []
    if session.conn.pgconn.pipeline_status != PipelineStatus.OFF:
        raise InvalidArgumentError("conn", "in pipeline mode", "none, because steps are copied: insert outside of it")
    placed: list[_Placed] = []
    for plan in plans:
        _place(placed, plan, len(placed))
    stored = await session.records(Stored, "insert_workflows", _workflow_columns(placed))
    if any(s.inserted for s in stored):
        await _copy_steps(session, placed, stored)
        await _release_roots(session, placed, stored)
    outermost = [s for s, p in zip(stored, placed, strict=True) if p.parent is None]
    return await _adopt_existing(session, plans, outermost)


def _place(
    placed: list[_Placed], plan: WorkflowPlan, root: int, parent: int | None = None, parent_position: int | None = None
) -> None:
    own = len(placed)
    placed.append(_Placed(plan=plan, root=root, parent=parent, parent_position=parent_position))
    for step in plan.steps:
        if step.nested is not None:
            _place(placed, step.nested, root, own, step.position)


def _workflow_columns(placed: Sequence[_Placed]) -> dict[str, Any]:
    plans = [p.plan for p in placed]
    return {
        "names": [p.name for p in plans],
        "totals": [len(p.steps) for p in plans],
        "contexts": [p.context for p in plans],
        "tags": [f"{{{','.join(_quoted(tag) for tag in p.tags)}}}" for p in plans],
        "definition_versions": [p.definition_version for p in plans],
        "definition_hashes": [p.definition_hash for p in plans],
        "idempotency_keys": [p.idempotency_key for p in plans],
        "on_finished": [p.on_finished for p in plans],
        "expires_in": [p.expires_in for p in plans],
        "roots": [p.root + 1 for p in placed],
        "parents": [p.parent + 1 if p.parent is not None else None for p in placed],
        "parent_positions": [p.parent_position for p in placed],
    }


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


async def _adopt_existing(session: Session, plans: Sequence[WorkflowPlan], stored: Sequence[Stored]) -> list[Stored]:
    keys = [plan.idempotency_key for plan, s in zip(plans, stored, strict=True) if not s.inserted]
    if not keys:
        return list(stored)
    rows = await session.all("find_by_idempotency_keys", {"keys": keys})
    existing = {row["idempotency_key"]: row for row in rows}
    adopted: list[Stored] = []
    for plan, s in zip(plans, stored, strict=True):
        if s.inserted or plan.idempotency_key is None:
            adopted.append(s)
            continue
        row = existing[plan.idempotency_key]
        if row["definition_hash"] != plan.definition_hash:
            raise IdempotencyConflictError(plan.idempotency_key, row["id"])
        adopted.append(Stored(WorkflowId(row["id"]), inserted=False))
    return adopted


async def _copy_steps(session: Session, placed: Sequence[_Placed], stored: Sequence[Stored]) -> None:
    children = {(p.parent, p.parent_position): s.id for p, s in zip(placed, stored, strict=True)}
    async with OwnCursor(session.conn) as cursor, cursor.copy(session.queries["copy_steps"]) as copy:
        for own, (p, s) in enumerate(zip(placed, stored, strict=True)):
            if not s.inserted:
                continue
            gate = p.parent is not None
            for step in p.plan.steps:
                pending = step.pending + (gate and step.pending == 0)
                row = (s.id, pending, children.get((own, step.position)), *_edges(step), *_STEP_VALUES(step))
                await copy.write_row(row)


def _edges(step: StepPlan) -> tuple[str | None, ...]:
    # As text: psycopg looks at each list for the type of its items, which takes a third of the time of a copy.
    return (
        _int_array(step.parents),
        _int_array(step.children),
        _int_array(step.continue_parents),
        _int_array(step.continue_children),
    )


def _int_array(positions: list[int] | None) -> str | None:
    return None if positions is None else f"{{{','.join(map(str, positions))}}}"


async def _release_roots(session: Session, placed: Sequence[_Placed], stored: Sequence[Stored]) -> None:
    roots = [
        (s.id, step.position)
        for p, s in zip(placed, stored, strict=True)
        for step in p.plan.steps
        if s.inserted and p.parent is None and step.pending == 0
    ]
    args = {"workflow_ids": [r[0] for r in roots], "positions": [r[1] for r in roots]}
    await session.run("release_roots", args)
