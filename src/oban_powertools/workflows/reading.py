"""Read stored workflows: each call opens a connection and runs one query of ``reads``."""

from collections.abc import Sequence
from typing import Any

from ..arguments import as_count, as_id, as_key, as_word, as_workflow_id, unless_none
from ..operators.services import Facade
from ..states import WorkflowId, WorkflowState
from . import drawing, reads
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
        name: str | None = None,
        tag: str | None = None,
        before: WorkflowId | str | None = None,
        limit: int = 50,
    ) -> list[WorkflowRecord]:
        """Workflows, newest first.

        Args:
            before: Only ids below this one: the last id of the previous page.
            limit: At most 1,000.
        """
        word = None if state is None else as_word("state", state, WorkflowState)
        older = None if before is None else WorkflowId(as_id("before", before))
        args = {"name": unless_none(as_key, "name", name), "tag": unless_none(as_key, "tag", tag)}
        page = as_count("limit", limit)
        async with self._connect() as session:
            return await reads.list_workflows(session, state=word, before=older, limit=page, **args)

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
