"""Read stored workflows: each call opens a connection and runs one query of ``reads``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..arguments import as_count, as_id, as_workflow_id
from ..operators.services import Facade
from ..states import OperatorStatus, WorkflowId, WorkflowState
from . import drawing, reads
from .finding import filters_of
from .records import CallbackRecord, StepRecord, WorkflowRecord


class WorkflowReads(Facade):
    """The calls that only read."""

    async def get(self, workflow_id: WorkflowId | str) -> WorkflowRecord:
        """One workflow.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await reads.get_workflow(session, as_workflow_id(workflow_id))

    async def find(self, workflow_id: WorkflowId | str) -> WorkflowRecord | None:
        """One workflow; None when it does not exist."""
        async with self._connect() as session:
            workflows = await reads.find_workflows(session, [as_workflow_id(workflow_id)])
        return workflows[0] if workflows else None

    async def list(
        self,
        *,
        state: WorkflowState | str | None = None,
        status: OperatorStatus | str | None = None,
        name: str | None = None,
        tag: str | None = None,
        idempotency_key: str | None = None,
        label: str | None = None,
        context: Mapping[str, Any] | None = None,
        worker: str | None = None,
        step: str | None = None,
        error: str | None = None,
        inserted_from: datetime | None = None,
        inserted_to: datetime | None = None,
        finished_from: datetime | None = None,
        finished_to: datetime | None = None,
        before: WorkflowId | str | None = None,
        limit: int = 50,
    ) -> list[WorkflowRecord]:
        """Workflows that fit everything that is given, newest first.

        Args:
            status: The operator's word, as explanations say it.
            label: The context's field ``label``.
            context: Fields that the context has, with these values, at any depth: ``{"account_id": 42}``.
            worker, step: Some step has this worker (Oban's path of its class), or this name.
            error: Words, or beginnings of words, of the last error of some step: ``"timeout billing"``.
            inserted_from, inserted_to, finished_from, finished_to: From this instant on, before that one; aware.
            before: Only ids below this one: the last id of the previous page.
            limit: At most 1,000.

        Raises:
            InvalidArgumentError: A filter is not what it should be.
        """
        filters = filters_of(
            state=state,
            status=status,
            label=label,
            context=context,
            texts={
                "name": name,
                "tag": tag,
                "idempotency_key": idempotency_key,
                "worker": worker,
                "step": step,
                "error": error,
            },
            instants={
                "inserted_from": inserted_from,
                "inserted_to": inserted_to,
                "finished_from": finished_from,
                "finished_to": finished_to,
            },
        )
        older = None if before is None else WorkflowId(as_id("before", before))
        page = as_count("limit", limit)
        async with self._connect() as session:
            return await reads.list_workflows(session, filters, before=older, limit=page)

    async def steps(self, workflow_id: WorkflowId | str) -> Sequence[StepRecord]:
        """All steps of a workflow, in position order.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await reads.list_steps(session, as_workflow_id(workflow_id))

    async def results(self, workflow_id: WorkflowId | str) -> dict[str, Any]:
        """Step name -> result of the completed steps, in position order; None where there is no result.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await reads.list_results(session, as_workflow_id(workflow_id))

    async def callbacks(self, workflow_id: WorkflowId | str) -> Sequence[CallbackRecord]:
        """What became of the ``on_finished`` job, once for each time that the workflow ended, oldest first.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await reads.list_callbacks(session, as_workflow_id(workflow_id))

    async def to_mermaid(self, workflow_id: WorkflowId | str) -> str:
        """A stored workflow with its states as a Mermaid flowchart.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return drawing.mermaid(await reads.list_nodes(session, as_workflow_id(workflow_id)))

    async def to_dot(self, workflow_id: WorkflowId | str) -> str:
        """A stored workflow with its states in Graphviz's DOT language.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return drawing.dot(await reads.list_nodes(session, as_workflow_id(workflow_id)))
