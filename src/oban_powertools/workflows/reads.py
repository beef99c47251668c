"""Read stored workflows and steps as records.

Runs in the caller's transaction and locks nothing. A step with a live job has the job's own state, never a copy of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..database import Row, Session, json_border, record
from ..errors import StepNotFoundError, WorkflowNotFoundError
from ..states import OperatorStatus, Policy, StepState, WorkflowId
from .drawing import Node
from .records import CallbackRecord, StepPage, StepRecord, WorkflowRecord

MAX_PAGE: Final = 1000
"""Most workflows one call lists."""


async def find_workflows(session: Session, ids: Sequence[WorkflowId]) -> list[WorkflowRecord]:
    """The workflows of these ids that exist, by id."""
    return await session.records(WorkflowRecord, "get_workflows", {"ids": list(ids)})


async def get_workflow(session: Session, workflow_id: WorkflowId) -> WorkflowRecord:
    """One workflow.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    workflows = await find_workflows(session, [workflow_id])
    if not workflows:
        raise WorkflowNotFoundError(workflow_id)
    return workflows[0]


async def list_workflows(
    session: Session, filters: Mapping[str, Any], *, before: WorkflowId | None = None, limit: int = 50
) -> list[WorkflowRecord]:
    """Workflows that fit all filters, newest first.

    Args:
        filters: As ``finding.filters_of`` makes them; empty for all.
        before: Only ids below this one: the last id of the previous page.
        limit: At most 1,000.
    """
    args = {"filters": json_border.dumps(dict(filters)), "before": before, "page": min(limit, MAX_PAGE)}
    rows = await session.all("find_workflow_ids", args)
    workflows = await find_workflows(session, [row["id"] for row in rows]) if rows else []
    return workflows[::-1]


async def list_steps(session: Session, workflow_id: WorkflowId) -> list[StepRecord]:
    """All steps of a workflow, in position order.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    everything = dict.fromkeys(("step", "states", "words", "rank", "position", "page"))
    whole = {"failed_first": False, "payloads": True, **everything}
    rows, _ = await _read_steps(session, {"workflow_id": workflow_id, **whole})
    names: dict[int, str] = {row["position"]: row["name"] for row in rows}
    return [_step(row, names) for row in rows]


async def page_steps(
    session: Session,
    workflow_id: WorkflowId,
    *,
    step: str | None,
    states: Sequence[StepState] | None,
    words: Sequence[OperatorStatus] | None,
    failed_first: bool,
    after: tuple[int, int] | None,
    limit: int,
    payloads: bool,
) -> StepPage:
    """A page of the steps of a workflow.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    rank, position = after or (None, None)
    page = min(limit, MAX_PAGE)
    chosen = {"step": step, "states": states and [*states], "words": words and [*words], "failed_first": failed_first}
    place = {"rank": rank, "position": position, "page": page + 1}
    rows, counts = await _read_steps(session, {"workflow_id": workflow_id, **chosen, **place, "payloads": payloads})
    shown = rows[:page]
    named = sorted({position for row in shown for position in _named(row)})
    others = await session.all("step_names", {"workflow_id": workflow_id, "positions": named}) if named else []
    names: dict[int, str] = {row["position"]: row["name"] for row in others}
    steps = tuple(_step(row, names) for row in shown)
    parents = {name for step in steps for name in step.deps}
    last = shown[-1] if len(rows) > page else None
    return StepPage(
        steps=steps,
        parents={row["name"]: StepState(row["state"]) for row in others if row["name"] in parents},
        words={word: counts[word] for word in OperatorStatus if word in counts},
        next_after=f"{last['rank']}.{last['position']}" if last else None,
    )


async def _read_steps(session: Session, args: dict[str, Any]) -> tuple[list[Row], Mapping[str, int]]:
    """The steps, and of how many of the whole workflow each word is.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    rows = await session.all("get_steps", args)
    counts = rows[0]["all_words"]
    if counts is None:
        raise WorkflowNotFoundError(args["workflow_id"])
    return [row for row in rows if row["position"] is not None], counts


async def list_results(session: Session, workflow_id: WorkflowId) -> dict[str, Any]:
    """Step name -> result of the completed steps, in position order; None where there is no result.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    rows = await session.all("get_results", {"workflow_id": workflow_id})
    if not rows:
        await get_workflow(session, workflow_id)
    return {row["name"]: row["result"] for row in rows}


async def get_result(session: Session, workflow_id: WorkflowId, step: str) -> tuple[StepState, Any]:
    """The state of a step, and its result when it has completed.

    Raises:
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
    """
    rows = await session.all("get_result", {"workflow_id": workflow_id, "step": step})
    if not rows:
        await get_workflow(session, workflow_id)
        raise StepNotFoundError(workflow_id, step)
    return StepState(rows[0]["state"]), rows[0]["result"]


async def list_callbacks(session: Session, workflow_id: WorkflowId) -> list[CallbackRecord]:
    """What became of the ``on_finished`` jobs of a workflow, oldest first.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    callbacks = await session.records(CallbackRecord, "list_callbacks", {"workflow_id": workflow_id})
    if not callbacks:
        await get_workflow(session, workflow_id)
    return callbacks


async def list_nodes(session: Session, workflow_id: WorkflowId) -> list[Node]:
    """All steps of a workflow with their states, ready to be drawn; in position order.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    rows = await session.all("draw_steps", {"workflow_id": workflow_id})
    if not rows:
        raise WorkflowNotFoundError(workflow_id)
    return [record(Node, row, parents=_edges(row)) for row in rows]


def _step(row: Row, names: Mapping[int, str]) -> StepRecord:
    edges = _edges(row)
    deps = {names[position]: edges[position] for position in sorted(edges)}
    args = row["args"]
    if args is None and row["template"] is not None:
        args = _unresolved(row["template"], names)
    return record(StepRecord, row, deps=deps, args=args)


def _edges(row: Row) -> dict[int, Policy]:
    edges = dict.fromkeys(row["parents"], Policy.CANCEL)
    return edges | dict.fromkeys(row["continue_parents"] or (), Policy.CONTINUE)


def _named(row: Row) -> Iterator[int]:
    """Positions of the steps whose names its record has."""
    yield from _edges(row)
    yield from (part[0] for part in row["template"] or () if not isinstance(part, str))


def _unresolved(template: Sequence[Any], names: Mapping[int, str]) -> Any:
    return json_border.loads("".join(part if isinstance(part, str) else _marker(part, names) for part in template))


def _marker(part: Sequence[Any], names: Mapping[int, str]) -> str:
    position, kind, path = part
    return json_border.dumps({f"${kind}": [names[position], *path]})
