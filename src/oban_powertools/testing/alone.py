"""One worker alone, without a database: what it reads of its step, and what becomes of its return value."""

import asyncio
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from oban import Cancel, Job, Snooze
from oban.worker import resolve_worker

from ..config import PAYLOAD_LIMIT
from ..database import json_border
from ..errors import UnstorableValueError
from ..runtime.oban_draining import running
from ..runtime.results import StepResult, wrap_result
from ..runtime.step import AwaitSignal, StepContext, appended_of, current_step
from ..workflows.builder import Workflow
from ..workflows.references import Reference, is_reference, place_of

_UID: Final = "testing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAlone:
    """A step of no workflow, for the worker under test."""

    context: StepContext
    """What ``current_step()`` gives the worker."""

    results: Mapping[str, Any]
    """Step name -> its result, for references in args."""

    errors: Mapping[str, Any]
    """Step name -> its error, for references in args."""

    async def run(self, job: Job) -> Any:
        """Run a job's worker as an executor would, with its args as they come out of the database.

        Args:
            job: As a step is added: ``charge.new(amount=order.result["total"])``.

        Returns:
            The result as the next step gets it; or the ``Snooze``, ``Cancel`` or ``AwaitSignal`` that it returned.

        Raises:
            UnstorableValueError: The args or the result are not JSON, or too large.
            Exception: Whatever the worker raised.
        """
        args: Any = self._resolved(job.args)
        if faults := json_border.find_faults(args, "args"):
            raise UnstorableValueError("the args", faults)
        own = self.context.job
        own.worker, own.args, own.queue, own.extra = job.worker, json.loads(json.dumps(args)), job.queue, {}
        value = await resolve_worker(job.worker)().process(own)
        outcome = wrap_result(own, value, PAYLOAD_LIMIT)
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(value, (Snooze, Cancel, AwaitSignal)):
            return value
        return json.loads(json.dumps(outcome.value)) if isinstance(outcome, StepResult) else None

    def run_blocking(self, job: Job) -> Any:
        """As ``run``, for a test without an event loop."""
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(self.run(job))

    @property
    def appended(self) -> Sequence[str]:
        """Names of the steps that the worker added, in their order."""
        workflow = appended_of(self.context.job)
        return [step.name for step in workflow.steps[1:]] if workflow is not None else []

    def _resolved(self, value: Any) -> Any:
        if is_reference(value):
            return self._look_up(value)
        match value:
            case dict():
                return {key: self._resolved(item) for key, item in cast("dict[Any, Any]", value).items()}
            case list() | tuple():
                return [self._resolved(item) for item in cast("Sequence[Any]", value)]
            case _:
                return value

    def _look_up(self, reference: Reference[Any]) -> Any:
        step, part, path, _ = place_of(reference)
        source, word = (self.errors, "errors") if part == "error" else (self.results, "results")
        if step not in source:
            raise KeyError(f"{reference!r} needs {word}={{{step!r}: ...}}")
        found: Any = source[step]
        for key in path:
            try:
                found = found[key]
            except (LookupError, TypeError):
                return None  # as the database fills it in
        return found


@contextmanager
def step_context(
    *,
    step: str = "step",
    workflow: str | Workflow = "workflow",
    workflow_id: int = 1,
    context: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    errors: Mapping[str, Any] | None = None,
    attempt: int = 1,
    max_attempts: int = 20,
    generation: int = 1,
    cancelled: bool = False,
) -> Generator[StepAlone]:
    """Be inside a step, without a workflow and a database: ``current_step()`` and ``current_job()`` work.

        with step_context(context={"account": 42}, attempt=3) as step:
            assert await step.run(charge.new(amount=5)) == {"charged": 5}

    Args:
        step: Its name.
        workflow: The workflow's label.
        context: The workflow's context.
        results: Step name -> result, for references in args.
        errors: Step name -> error, likewise.
        attempt: Which attempt it is.
        max_attempts: How many there are.
        generation: Which run of the workflow it is.
        cancelled: Whether the job was asked to stop: ``job.cancelled()``.
    """
    now = datetime.now(UTC)
    meta = {
        "uid": _UID,
        "workflow_id": workflow_id,
        "workflow_name": workflow if isinstance(workflow, str) else workflow.name,
        "position": 0,
        "step": step,
        "context": dict(context or {}),
        "generation": generation,
    }
    job = Job(
        "none",
        id=1,
        meta=meta,
        attempt=attempt,
        max_attempts=max_attempts,
        attempted_at=now,
        scheduled_at=now,
        inserted_at=now,
    )
    with running(job, cancelled=cancelled):
        yield StepAlone(context=current_step(), results=results or {}, errors=errors or {})
