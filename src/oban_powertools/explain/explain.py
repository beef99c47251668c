"""The calls of ``powertools.explain``: each reads one snapshot, so an explanation describes one moment."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from ..arguments import as_job_id, as_key, as_workflow_id
from ..database import Session
from ..operators.services import Facade
from ..privacy.apply_display import apply_display
from .explanations import JobExplanation, StepExplanation, WorkflowExplanation
from .job import explain_job
from .step import explain_step
from .workflow import explain_workflow

# The planner is kept to index look-ups, because a plan made while a table was small would read the whole of it for
# every ancestor.
_BY_INDEX: Final = (
    b"SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
    b"SET LOCAL jit = off"
)


class Explain(Facade):
    """Explain the current state of steps, workflows and jobs."""

    async def workflow_step(self, workflow_id: int | str, step: str, *, check_import: bool = False) -> StepExplanation:
        """Explain a step, with its root causes upstream.

        Args:
            check_import: Import its worker in this process, which runs the code its row names.

        Raises:
            WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
        """
        key, name = as_workflow_id(workflow_id), as_key("step", step)
        async with self._snapshot() as session:
            explanation = await explain_step(session, key, name, check_import=check_import)
        return apply_display(self._display, explanation)

    async def workflow(self, workflow_id: int | str) -> WorkflowExplanation:
        """Explain a workflow: its steps by state, and the root causes in groups.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        key = as_workflow_id(workflow_id)
        async with self._snapshot() as session:
            explanation = await explain_workflow(session, key)
        return apply_display(self._display, explanation)

    async def job(self, job_id: int | str, *, check_import: bool = False) -> JobExplanation:
        """Explain a job, a step's or a plain one.

        Args:
            check_import: Import its worker in this process, which runs the code its row names.

        Raises:
            JobNotFoundError: It does not exist, or was pruned.
        """
        key = as_job_id(job_id)
        async with self._snapshot() as session:
            explanation = await explain_job(session, key, check_import=check_import)
        return apply_display(self._display, explanation)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Session]:
        async with self._connect() as session, session.snapshot():
            await session.conn.execute(_BY_INDEX)
            yield session
