"""Run workflows to their end in a test, in this process and without waiting."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import oban.testing
from oban import Oban

from ..arguments import as_span, as_workflow_id
from ..config import Names, Settings
from ..operators.authorization import Authorize
from ..powertools import Powertools
from ..privacy.display import DisplayPolicy
from ..states import WorkflowId, WorkflowState
from ..sync import SyncWorkflowHandle
from ..workflows.builder import Workflow
from ..workflows.handle import WorkflowHandle
from ..workflows.records import SignalRecord, StepRecord
from .clock import Awaited, Clock
from .draining import Drainer, Goal, NothingMovesError
from .fakes import Faked, Fakes
from .idle import IdlePowertools
from .loading import age_of, insert_rows, read_export
from .ran import WorkflowRun

type Runnable = Workflow | WorkflowHandle | SyncWorkflowHandle | WorkflowId | int | str
"""A definition, which is inserted; or a workflow that is stored, by its handle or id."""

PASSES_AT_MOST: Final = timedelta(days=3650)
"""How much time passes in a run at most."""


def everybody_may(*_: object) -> bool:
    """The policy of a runner that was given none."""
    return True


class WorkflowRunner:
    """Runs the workflows and jobs of one database in this process: the fixture ``workflow_runner``.

    It is the real engine: Oban's fetch and executor, our acks, the triggers, the sweep. Only nobody waits: where
    nothing is due now, time passes at once. Every loop of asyncio may use it, one after another.

    Args:
        dsn: A database of the test's own, with both schemas.
        authorize: Decides what operators may do; None lets everybody do everything.
        display: Decides what is shown of values that may hold secrets.
        schema: Where our tables are.
        prefix: Where Oban's tables are.
        settings: Limits; None for the defaults.
    """

    dsn: str
    """The test's database, for what connects by itself."""

    powertools: Powertools
    """Every call on that database; it works on no queue."""

    oban: Oban
    """The instance that ``enqueue`` uses."""

    def __init__(
        self,
        dsn: str,
        *,
        authorize: Authorize | None = None,
        display: DisplayPolicy | None = None,
        schema: str = "powertools",
        prefix: str = "public",
        settings: Settings | None = None,
    ) -> None:
        self.dsn = dsn
        self._names = Names(schema=schema, prefix=prefix)
        self._clock = Clock(dsn, self._names)
        self._idle = IdlePowertools(
            dsn, prefix=prefix, authorize=authorize or everybody_may, display=display, schema=schema, settings=settings
        )
        self.powertools = self._idle
        self.oban = self.powertools.oban
        self._drainer = Drainer(self._idle, self._clock)

    async def run(
        self,
        workflow: Runnable,
        *,
        fakes: Fakes | None = None,
        signals: Mapping[str, Any] | None = None,
        until: str | None = None,
        within: timedelta | float = PASSES_AT_MOST,
    ) -> WorkflowRun:
        """Run a workflow to its end, with its callbacks: retries, delays, deadlines, maps and nested workflows.

        Args:
            fakes: Step name, or worker, -> what it gives instead of running: a value; an exception; a function, called
                with the step's args; or a list of those, one an attempt. The name of a map means its items.
            signals: Step name, or signal, -> the payload that comes once nothing else is to do but wait for it.
            until: Stop as soon as this step has run, or waits, and nothing more happens without time passing.
            within: How much time may pass; also in seconds.

        Returns:
            The workflow as it is then, however it ended: ``run.assert_finished()``.

        Raises:
            NothingMovesError: It does not get there; says why, in the words of ``powertools workflow explain``.
            WrongFakeError: A fake, or a signal, is for a step that there is not.
            InvalidWorkflowError: The definition is faulty.
        """
        within = as_span("within", within, least=timedelta(0))
        before = self._clock.passed
        workflow_id = await self._stored(workflow)
        faked = Faked(fakes)
        faked.check_names(await self._clock.step_kinds(workflow_id))

        async def answer() -> bool:
            return await self._answer(workflow_id, signals or {})

        awaited = Awaited(workflow_id=workflow_id, step=until)
        goal = Goal(awaited=awaited, answer=answer, within=within)
        refusal = await self._drainer.run_to(goal, faked)
        run = await self.look(workflow_id, passed=self._clock.passed - before)
        if refusal is not None:
            wanted = "its end" if until is None else f"step {until!r}"
            raise NothingMovesError(f"workflow {run.id} {run.workflow.name!r} did not reach {wanted}: {refusal}. {run}")
        return run

    async def drain(self, *, fakes: Fakes | None = None) -> int:
        """Run every job that may run now, of steps and plain ones, and sweep; no time passes.

        Returns:
            How many attempts and sweeps did something.
        """
        return await self._drainer.run_now(Faked(fakes))

    async def advance(self, by: timedelta | float, *, fakes: Fakes | None = None) -> None:
        """Let time pass, and run what becomes due meanwhile, in its order.

        Args:
            by: How much, also in seconds; nothing waits for it.
        """
        await self._drainer.advance(as_span("by", by, least=timedelta(0)), Faked(fakes))

    async def signal(self, signal: str, correlation_key: str, payload: Any = None, **options: Any) -> SignalRecord:
        """Deliver a signal, as ``workflows.signal`` does, and run what may run then."""
        record = await self.powertools.workflows.signal(signal, correlation_key, payload, **options)
        await self.drain()
        return record

    async def load(self, source: str | Path | Mapping[str, Any]) -> WorkflowId:
        """Bring back a workflow that ``powertools workflow export`` wrote, as it was at that moment, with its ids.

        Args:
            source: The file, or its content.

        Raises:
            UnreadableExportError: It is no exported workflow that this release knows, or its ids are taken here.
        """
        document = read_export(source)
        age = age_of(document)
        # Everything else grows older and young again, so that only its rows are younger.
        await self._clock.shift(age)
        try:
            async with self._idle.session() as session:
                return await insert_rows(session.conn, document, self._names)
        finally:
            await self._clock.shift(-age)

    async def look(self, workflow: Runnable, *, passed: timedelta | float = timedelta(0)) -> WorkflowRun:
        """A stored workflow as it is now.

        Args:
            passed: What ``WorkflowRun.passed`` says; also in seconds.
        """
        workflow_id = await self._stored(workflow)
        workflows = self.powertools.workflows
        record = await workflows.get(workflow_id)
        steps = await self._steps(workflow_id, "")
        if record.state is WorkflowState.COMPLETED:
            why = f"All {record.total} steps completed." if record.total > 1 else "Its step completed."
        else:
            why = (await self.powertools.explain.workflow(workflow_id)).summary
        return WorkflowRun(workflow=record, steps=steps, why=why, passed=as_span("passed", passed, least=timedelta(0)))

    def close(self) -> None:
        """Close the connections, and give Oban back what it had."""
        self._idle.finish()
        self._clock.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _stored(self, workflow: Runnable) -> WorkflowId:
        if isinstance(workflow, WorkflowHandle | SyncWorkflowHandle):
            return workflow.id
        if isinstance(workflow, Workflow):
            # The runner is the answer to Oban's inline mode, so a test may use both.
            with oban.testing.mode("manual"):
                return (await self.powertools.workflows.insert(workflow)).id
        return as_workflow_id(workflow)

    async def _steps(self, workflow_id: WorkflowId, path: str) -> dict[str, StepRecord]:
        steps: dict[str, StepRecord] = {}
        for step in await self.powertools.workflows.steps(workflow_id):
            steps[f"{path}{step.name}"] = step
            if step.child_id is not None:
                steps |= await self._steps(step.child_id, f"{path}{step.name}/")
        return steps

    async def _answer(self, workflow_id: WorkflowId, signals: Mapping[str, Any]) -> bool:
        for wait in await self._clock.open_waits(workflow_id) if signals else ():
            for name in (wait["step"], wait["signal"]):
                if name in signals:
                    await self.powertools.workflows.signal(
                        wait["signal"], wait["correlation_key"], signals[name], workflow_id=wait["waiting_id"]
                    )
                    return True
        return False


@contextmanager
def open_runner(dsn: str, **options: Any) -> Generator[WorkflowRunner]:
    """A runner on a database of yours, with both schemas, that only this test uses meanwhile.

    Args:
        options: As ``WorkflowRunner``'s.
    """
    with WorkflowRunner(dsn, **options) as runner:
        yield runner
