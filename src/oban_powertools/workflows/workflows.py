"""Insert, read, wait for and command workflows: each call opens its transaction and runs one feature function in it.

The rule that must never break: with ``conn=`` a call works in the caller's transaction and commits nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from .. import telemetry
from ..acts import Action
from ..arguments import (
    LONGEST,
    as_count,
    as_flag,
    as_list,
    as_span,
    as_text,
    as_workflow_id,
    unless_none,
)
from ..database import Session, crash_points
from ..database.oban import mode_of_tests
from ..errors import InlineModeError, InvalidArgumentError, PartlyInsertedError
from ..operators.authorization import HOST, ActorLike
from ..operators.commanding import Commander
from ..operators.services import Facade, Services
from ..states import StepState
from ..telemetry import Name
from . import commands, recovery, signals, store
from .builder import Workflow, as_definition
from .compile import compile_workflow
from .handle import WorkflowHandle
from .plan import WorkflowPlan, slices_of
from .reading import WorkflowReads
from .records import Recovered, SignalRecord, WorkflowRecord
from .revealing import WorkflowReveals
from .rules import find_recovery
from .scripts import warn_of_scripts
from .stamping import stamped
from .waiting import Waiters


class WorkflowWrites(Facade):
    """The calls that insert, wait and command.

    ``job_meta`` is a hook for instrumentation: called once an insert, within its telemetry span, and what it returns is
    added to the meta of every job of the inserted workflows, also of those the database releases later. ``queues_here``
    names the queues that this process works on.
    """

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._commander = Commander(services)
        self.waiters: Waiters = Waiters(self._connect)
        self.job_meta: Callable[[], Mapping[str, str]] = dict
        self.queues_here: Callable[[], Collection[str]] = tuple

    async def insert(self, workflow: Workflow, *, conn: Any = None) -> WorkflowHandle:
        """Check a definition and store it whole, with the jobs of its roots.

        Args:
            conn: Joins the caller's transaction: a psycopg connection or cursor, or a SQLAlchemy
                async session or connection on psycopg. None: a transaction of its own.

        Raises:
            InvalidWorkflowError: Lists every fault; nothing was written.
            IdempotencyConflictError: The key belongs to a workflow with another definition.
            InlineModeError: Oban's testing mode is ``inline``, in which no process ever runs its steps.
        """
        return (await self.insert_many([as_definition("workflow", workflow)], conn=conn))[0]

    async def insert_many(
        self, workflows: Iterable[Workflow], *, atomic: bool = True, conn: Any = None
    ) -> list[WorkflowHandle]:
        """Insert several workflows, all or none, in a constant number of statements.

        Returns, raises and joins as ``insert``; handles in the order given. All definitions are
        checked before anything is written; the first faulty one is reported.

        Args:
            atomic: False stores them in slices of about a thousand steps, in order, each committed on its own, so
                that the first run while the last are stored; each workflow is still stored whole. Not with ``conn``.

        Raises:
            PartlyInsertedError: Without ``atomic``, a slice failed after others were committed.
        """
        several = as_list("workflows", workflows, "workflows")
        definitions = [as_definition(f"workflows[{place}]", each) for place, each in enumerate(several)]
        if not as_flag("atomic", atomic) and conn is not None:
            raise InvalidArgumentError("atomic", "False with conn", "True, because conn is one transaction")
        _refuse_inline(definitions)
        plans = [compile_workflow(definition, self._settings.payload_limit) for definition in definitions]
        warn_of_scripts(plans, self.queues_here)
        steps = sum(len(plan.steps) for plan in plans)
        with telemetry.span(Name.INSERT, workflows=len(plans), steps=steps) as span:
            meta = self.job_meta()
            stamps = [stamped(plan, meta) for plan in plans]
            slices = [stamps] if atomic else list(slices_of(stamps))
            stored = await self._insert_slices(slices, conn)
            span["inserted"] = sum(s.inserted for s in stored)
        return [
            WorkflowHandle(id=s.id, name=definition.name, inserted=s.inserted, waiters=self.waiters)
            for definition, s in zip(definitions, stored, strict=True)
        ]

    async def _insert_slices(self, slices: Sequence[Sequence[WorkflowPlan]], conn: Any) -> list[store.Stored]:
        stored: list[store.Stored] = []
        for plans in slices:

            async def insert(inside: Session, plans: Sequence[WorkflowPlan] = plans) -> list[store.Stored]:
                inserted = await store.insert_plans(inside, plans)
                crash_points.reached("before_insert_commit")
                return inserted

            try:
                stored += await self._services.run_in_transaction(conn, insert)
            except Exception as error:
                if not stored:
                    raise
                total = sum(len(each) for each in slices)
                raise PartlyInsertedError([s.id for s in stored], total, str(error)) from error
            crash_points.reached("after_insert_commit")
        return stored

    async def wait(self, workflow_id: int | str, *, timeout: timedelta | float | None = None) -> WorkflowRecord:
        """Wait until the workflow has ended.

        Args:
            timeout: Also in seconds; None waits for ever, 0 asks once. Process clock.

        Raises:
            WaitTimeoutError: It had not ended in time.
            PowertoolsClosedError: Powertools was left meanwhile. A database that is away is waited for.
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        within = unless_none(as_span, "timeout", timeout)
        return await self.waiters.wait(as_workflow_id(workflow_id), timeout=within)

    async def complete_step(
        self,
        workflow_id: int | str,
        step: str,
        *,
        status: str = "completed",
        payload: Any = None,
        actor: ActorLike | None = None,
        reason: str | None = None,
        source: str = "api",
        conn: Any = None,
    ) -> None:
        """End a released step that runs outside Oban; its job ends with it.

        Not for a step without a job: a wait ends by its signal, or by ``recover``.

        Args:
            status: ``completed`` (payload is the result), ``discarded`` or ``cancelled`` (payload is the error).
            actor: None for the host's own program, which tells what happened. With an actor it is an operator's
                decision: it needs a reason, it is authorized and audited.
            conn: Joins the caller's transaction, as in ``insert``.

        Raises:
            UnknownStatusError, UnstorableValueError: The outcome cannot be recorded.
            WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
            StepNotReleasedError: It still waits for its dependencies.
            IllegalTransitionError: It has no job: it waits for a signal, or runs a workflow or a map.
            AlreadyTerminalError: It has its outcome already.
            UnsupportedSemanticsError: The workflow follows the rules of another release.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: An operator's decision is refused.
        """
        acting = HOST if actor is None else actor
        act = Action.STEP_COMPLETE if status == StepState.COMPLETED else Action.STEP_CANCEL
        async with self._commander.command(
            act, workflow_id, step, acting, reason, source, conn=conn, status=status
        ) as command:
            await commands.complete_step(
                command.session,
                command.workflow_id,
                as_text("step", step),
                status=status,
                payload=payload,
                payload_limit=self._settings.payload_limit,
            )

    async def signal(
        self,
        signal: str,
        correlation_key: str,
        payload: Any = None,
        *,
        dedupe_key: str | None = None,
        workflow_id: int | str | None = None,
        expires_in: timedelta | float | None = None,
        only_begun: bool = False,
        conn: Any = None,
    ) -> SignalRecord:
        """Deliver a signal; its payload becomes the result of the step that waits for it.

        Args:
            dedupe_key: A repeat of the same signal, key and dedupe key changes nothing.
            workflow_id: Which workflow is meant, where several wait.
            expires_in: How long it is kept for a future wait, also in seconds; None without a limit.
            only_begun: Only for workflows that have begun, never for one that is inserted later.
            conn: Joins the caller's transaction, as in ``insert``.

        Returns:
            The durable record with its status, a ``SignalStatus``.

        Raises:
            UnstorableValueError: The payload is not JSON-safe or above the limit, or a name is empty.
        """
        async with self._services.transaction(conn) as inside:
            record = await signals.deliver(
                inside,
                signal,
                correlation_key,
                payload,
                dedupe_key=dedupe_key,
                workflow_id=workflow_id,
                expires_in=expires_in,
                only_begun=only_begun,
                payload_limit=self._settings.payload_limit,
            )
        telemetry.execute(Name.SIGNAL, status=record.status.value)
        return record

    async def request_cancel(
        self, workflow_id: int | str, *, actor: ActorLike, reason: str, source: str = "api", conn: Any = None
    ) -> None:
        """Request a workflow's cancel: idle steps and their jobs are cancelled, executing jobs are asked to stop.

        Args:
            actor: A name, or a mapping with an ``id``.

        Raises:
            WorkflowNotFoundError, WorkflowEndedError: There is nothing to cancel.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: Not allowed; no actor; no reason.
        """
        async with self._commander.command(
            Action.WORKFLOW_CANCEL, workflow_id, None, actor, reason, source, conn=conn
        ) as command:
            await recovery.request_cancel(command.session, command.workflow_id)

    async def recover(
        self,
        workflow_id: int | str,
        step: str | None = None,
        action: str = "retry",
        *,
        actor: ActorLike,
        reason: str,
        payload: Any = None,
        source: str = "api",
        conn: Any = None,
    ) -> Recovered:
        """Retry failed steps, with the steps cancelled because of them; or decide the outcome of a step.

        The workflow starts its next generation, with clocks and attempts reset.

        Args:
            step: None retries every step that failed by itself.
            action: ``retry``, ``cancel``, ``complete`` (payload is the result) or ``skip`` (no result).

        Raises:
            IllegalTransitionError: The action does not fit the step's state; says which ones do.
            UnsupportedRecoveryActionError: There is no such action.
            WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: Not allowed; no actor; no reason.
        """
        act = find_recovery(action, step)
        details = {} if act is not None else {"asked": str(action)[:100]}
        async with self._commander.command(
            act, workflow_id, step, actor, reason, source, conn=conn, **details
        ) as command:
            recovered = await recovery.recover(
                command.session,
                command.workflow_id,
                step,
                action,
                payload=payload,
                payload_limit=self._settings.payload_limit,
            )
            if step is None:
                command.before, command.after = {"steps": recovered.before}, {"steps": recovered.after}
        steps = tuple(recovered.before)
        return Recovered(
            audit_id=command.operation.record_id,
            generation=recovered.generation,
            steps=steps,
            revived=recovered.revived,
        )

    async def hold(
        self,
        workflow_id: int | str,
        step: str | None = None,
        *,
        hold_for: timedelta | float,
        actor: ActorLike,
        reason: str,
        source: str = "api",
        conn: Any = None,
    ) -> int:
        """Keep a step, or every step of a workflow, from starting; the hold ends by itself.

        Pending steps are not released, jobs that have not started are suspended; executing ones continue.

        Args:
            hold_for: Time until the hold ends by itself, also in seconds; database clock.

        Returns:
            How many steps are held.

        Raises:
            IllegalTransitionError: The step has started or ended.
            WorkflowNotFoundError, StepNotFoundError, WorkflowEndedError: There is nothing to hold.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: Not allowed; no actor; no reason.
        """
        time = as_span("hold_for", hold_for, least=timedelta(milliseconds=1), most=LONGEST)
        act = Action.WORKFLOW_HOLD if step is None else Action.STEP_HOLD
        async with self._commander.command(act, workflow_id, step, actor, reason, source, conn=conn) as command:
            return await recovery.hold(
                command.session, command.workflow_id, step, time, command.operation.entry.reason or ""
            )

    async def release(
        self,
        workflow_id: int | str,
        step: str | None = None,
        *,
        actor: ActorLike,
        reason: str,
        source: str = "api",
        conn: Any = None,
    ) -> int:
        """End the hold of a step, or of every step of a workflow; steps that are ready start.

        Returns:
            How many steps were held.

        Raises:
            WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: Not allowed; no actor; no reason.
        """
        act = Action.WORKFLOW_RELEASE if step is None else Action.STEP_RELEASE
        async with self._commander.command(act, workflow_id, step, actor, reason, source, conn=conn) as command:
            return await recovery.release(command.session, command.workflow_id, step)

    async def commands(self, workflow_id: int | str, *, limit: int = 100) -> Sequence[dict[str, Any]]:
        """The commands on a workflow, refused ones too, newest first: one dict per row of the view ``commands``."""
        async with self._connect() as session:
            args = {"workflow_id": as_workflow_id(workflow_id), "page": as_count("limit", limit)}
            return await session.all("list_commands", args)


class Workflows(WorkflowReads, WorkflowWrites, WorkflowReveals):
    """Insert, wait for, read, command and reveal workflows."""


def _refuse_inline(definitions: Sequence[Workflow]) -> None:
    if definitions and mode_of_tests() == "inline":
        raise InlineModeError(repr(definitions[0].name))
