"""The workflow calls of the facade: each opens its transaction and hands over to a feature function.

The rule that must never break: with ``conn=`` everything happens in the caller's transaction and
nothing is committed here.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from . import crash_points
from .database import Connection, Queries, fetch_all, joined
from .errors import WaitTimeoutError
from .oban_hooks import caller_connection
from .records import StepRecord, WorkflowRecord
from .states import WorkflowId, WorkflowState
from .workflow import commands, drawing, reads, store
from .workflow.builder import Workflow
from .workflow.compile import compile_workflow
from .workflow.waiting import Waiters


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowHandle:
    """A stored workflow to wait for."""

    id: WorkflowId
    """Its id."""

    name: str
    """Its label."""

    inserted: bool
    """False when its idempotency key named a workflow that existed already."""

    workflows: "Workflows"
    """Where it was inserted."""

    async def wait(self, timeout: timedelta | None = None) -> WorkflowRecord:
        """As ``Workflows.wait``."""
        return await self.workflows.wait(self.id, timeout=timeout)


class Workflows:
    """Insert, wait for, read and command workflows.

    Args:
        connect: An autocommit connection of our own pool.
        payload_limit: Bytes of JSON in one step's args or result.
    """

    def __init__(
        self, connect: Callable[[], AbstractAsyncContextManager[Connection]], queries: Queries, payload_limit: int
    ) -> None:
        self._connect = connect
        self._queries = queries
        self._payload_limit = payload_limit
        self.waiters = Waiters(self._find_ended)

    async def insert(self, workflow: Workflow, *, conn: Any = None) -> WorkflowHandle:
        """Check a definition and store it whole, with the jobs of its roots.

        Args:
            conn: Joins the caller's transaction: a psycopg connection or cursor, or a SQLAlchemy
                async session or connection on psycopg. None: a transaction of its own.

        Raises:
            InvalidWorkflowError: Lists every fault; nothing was written.
            IdempotencyConflictError: The key belongs to a workflow with another definition.
        """
        return (await self.insert_many([workflow], conn=conn))[0]

    async def insert_many(self, workflows: Sequence[Workflow], *, conn: Any = None) -> list[WorkflowHandle]:
        """Insert several workflows, all or none, in a constant number of statements.

        Returns, raises and joins as ``insert``; handles in the order given. All definitions are
        checked before anything is written; the first faulty one is reported.
        """
        plans = [compile_workflow(workflow, self._payload_limit) for workflow in workflows]
        async with self._transaction(conn) as inside:
            stored = await store.insert_plans(inside, self._queries, plans)
            crash_points.reached("before_insert_commit")
        crash_points.reached("after_insert_commit")
        return [
            WorkflowHandle(id=s.id, name=workflow.name, inserted=s.inserted, workflows=self)
            for workflow, s in zip(workflows, stored, strict=True)
        ]

    async def wait(self, workflow_id: WorkflowId, *, timeout: timedelta | None = None) -> WorkflowRecord:
        """Wait until the workflow has ended.

        Args:
            timeout: None waits for ever; process clock.

        Raises:
            WaitTimeoutError: It had not ended in time.
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        if not await self.waiters.wait(workflow_id, timeout):
            raise WaitTimeoutError(workflow_id, timeout or timedelta(0))
        return await self.get(workflow_id)

    async def _find_ended(self, ids: Sequence[WorkflowId]) -> Sequence[WorkflowId]:
        async with self._connect() as conn:
            rows = await fetch_all(conn, self._queries["unawaited_workflow_ids"], {"ids": list(ids)})
        return [WorkflowId(row["id"]) for row in rows]

    async def get(self, workflow_id: WorkflowId) -> WorkflowRecord:
        """One workflow.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as conn:
            return await reads.get_workflow(conn, self._queries, workflow_id)

    async def find(self, workflow_id: WorkflowId) -> WorkflowRecord | None:
        """One workflow; None when it does not exist."""
        async with self._connect() as conn:
            found = await reads.find_workflows(conn, self._queries, [workflow_id])
        return found[0] if found else None

    async def list(
        self,
        *,
        state: WorkflowState | None = None,
        name: str | None = None,
        tag: str | None = None,
        before: WorkflowId | None = None,
        limit: int = 50,
    ) -> list[WorkflowRecord]:
        """Workflows, newest first.

        Args:
            before: Only ids below this one: the last id of the previous page.
            limit: At most 1,000.
        """
        async with self._connect() as conn:
            return await reads.list_workflows(
                conn, self._queries, state=state, name=name, tag=tag, before=before, limit=limit
            )

    async def steps(self, workflow_id: WorkflowId) -> Sequence[StepRecord]:
        """All steps of a workflow, in position order.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as conn:
            return await reads.list_steps(conn, self._queries, workflow_id)

    async def results(self, workflow_id: WorkflowId) -> dict[str, Any]:
        """Step name -> result of the completed steps, in position order; None where there is no result.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as conn:
            return await reads.list_results(conn, self._queries, workflow_id)

    async def to_mermaid(self, workflow_id: WorkflowId) -> str:
        """A stored workflow with its states as a Mermaid flowchart.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as conn:
            return drawing.mermaid(await reads.list_nodes(conn, self._queries, workflow_id))

    async def to_dot(self, workflow_id: WorkflowId) -> str:
        """A stored workflow with its states in Graphviz's DOT language.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as conn:
            return drawing.dot(await reads.list_nodes(conn, self._queries, workflow_id))

    async def complete_step(
        self, workflow_id: WorkflowId, step: str, *, status: str = "completed", payload: Any = None, conn: Any = None
    ) -> None:
        """End a released step that runs outside Oban; its job ends with it.

        Args:
            status: ``completed`` (payload is the result), ``discarded`` or ``cancelled`` (payload is the error).
            conn: Joins the caller's transaction, as in ``insert``.

        Raises:
            UnknownStatusError, UnstorableValueError: The outcome cannot be recorded.
            WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
            StepNotReleasedError: It still waits for its dependencies.
            AlreadyTerminalError: It has its outcome already.
            UnsupportedSemanticsError: The workflow follows the rules of another release.
        """
        async with self._transaction(conn) as inside:
            await commands.complete_step(
                inside, self._queries, workflow_id, step,
                status=status, payload=payload, payload_limit=self._payload_limit,
            )  # fmt: skip

    @asynccontextmanager
    async def _transaction(self, conn: Any) -> AsyncGenerator[Connection]:
        if conn is not None:
            callers = await caller_connection(conn)
            async with joined(callers):
                yield callers
            return
        async with self._connect() as own, own.transaction():
            yield own
