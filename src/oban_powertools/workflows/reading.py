"""Read stored workflows: each call opens a connection and runs one query of ``reads``."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ..arguments import as_count, as_flag, as_id, as_key, as_list, as_word, as_workflow_id, refuse, unless_none
from ..operators.services import Facade
from ..privacy.apply_display import apply_display
from ..states import OperatorStatus, StepState, WorkflowId, WorkflowState
from . import drawing, finding_signals, outlines, reads
from .exporting import export_workflow
from .finding import filters_of, instants_of
from .finding_signals import OpenWait, StoredSignal
from .history import History, as_place, read_history
from .outlines import StepOutline, StepSpell
from .records import CallbackRecord, StepPage, StepRecord, WorkflowRecord

_STEP_PLACE: Final = re.compile(r"([0-7])\.([0-9]{1,9})", re.ASCII)


def _as_place(argument: str, value: object) -> tuple[int, int]:
    match = _STEP_PLACE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse(argument, value, "the next_after of a page before")
    return int(match[1]), int(match[2])


def _signal_filters(
    signal: str | None,
    correlation_key: str | None,
    workflow_id: int | str | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, Any]:
    texts = {"signal": signal, "correlation_key": correlation_key}
    filters: dict[str, Any] = {name: as_key(name, text) for name, text in texts.items() if text is not None}
    if workflow_id is not None:
        filters["workflow_id"] = as_workflow_id(workflow_id)
    return filters | instants_of({"inserted_from": since, "inserted_to": until})


class WorkflowReads(Facade):
    """The calls that only read."""

    async def get(self, workflow_id: int | str) -> WorkflowRecord:
        """One workflow.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await reads.get_workflow(session, as_workflow_id(workflow_id))

    async def find(self, workflow_id: int | str) -> WorkflowRecord | None:
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
        nested: bool | None = None,
        inserted_from: datetime | None = None,
        inserted_to: datetime | None = None,
        finished_from: datetime | None = None,
        finished_to: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> list[WorkflowRecord]:
        """Workflows that fit everything that is given, newest first.

        Args:
            status: The operator's word, as explanations say it.
            label: The context's field ``label``.
            context: Fields that the context has, with these values, at any depth: ``{"account_id": 42}``.
            worker, step: Some step has this worker (Oban's path of its class), or this name.
            error: Words, or beginnings of words, of the last error of some step: ``"timeout billing"``.
            nested: Whether it runs in another workflow; None for both.
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
            nested=nested,
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

    async def steps(self, workflow_id: int | str) -> Sequence[StepRecord]:
        """All steps of a workflow, in position order.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await reads.list_steps(session, as_workflow_id(workflow_id))

    async def list_steps(
        self,
        workflow_id: int | str,
        *,
        step: str | None = None,
        state: StepState | str | None = None,
        status: OperatorStatus | str | None = None,
        failed_first: bool = True,
        after: str | None = None,
        limit: int = 100,
        payloads: bool = True,
    ) -> StepPage:
        """A page of the steps of a workflow that fit everything that is given.

        Args:
            step: Only the one of this name.
            status: The operator's word, as explanations say it.
            failed_first: Those that failed by themselves, then by their word what needs a person, what moves and what
                waits, then those that were cancelled because of another, then all other outcomes; each by position.
                False: all by position.
            after: Where the page before ended: its ``next_after``.
            limit: At most 1,000.
            payloads: Whether args and results are read; without, they are None.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        key, place = as_workflow_id(workflow_id), unless_none(_as_place, "after", after)
        name = unless_none(as_key, "step", step)
        states = None if state is None else [as_word("state", state, StepState)]
        words = None if status is None else [as_word("status", status, OperatorStatus)]
        chosen: dict[str, Any] = {"step": name, "states": states, "words": words, "after": place}
        chosen |= {"failed_first": as_flag("failed_first", failed_first), "limit": as_count("limit", limit)}
        with_payloads = as_flag("payloads", payloads)
        async with self._connect() as session:
            return await reads.page_steps(session, key, **chosen, payloads=with_payloads)

    async def outline(self, workflow_id: int | str) -> Sequence[StepOutline]:
        """All steps of a workflow without args, results and errors, in position order: what a drawing of it needs.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await outlines.list_outlines(session, as_workflow_id(workflow_id))

    async def spells(self, workflow_id: int | str, *, steps: Sequence[str] | None = None) -> Sequence[StepSpell]:
        """How steps of a workflow spent their time, by position and then oldest first: what a Gantt chart needs.

        Of what the retention removed only the last run is known.

        Args:
            steps: Only these; None for all.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        key = as_workflow_id(workflow_id)
        names = None if steps is None else [as_key("steps", name) for name in as_list("steps", steps, "names")]
        async with self._connect() as session:
            spells = await outlines.list_spells(session, key, names)
            if not spells:
                await reads.get_workflow(session, key)
            return spells

    async def list_signals(
        self,
        *,
        signal: str | None = None,
        correlation_key: str | None = None,
        workflow_id: int | str | None = None,
        inserted_from: datetime | None = None,
        inserted_to: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> Sequence[StoredSignal]:
        """Stored signals that no wait has taken yet and that fit everything that is given, newest first.

        Args:
            workflow_id: The workflow that the sender named.
            inserted_from, inserted_to: Delivered from this instant on, before that one; aware.
            before: Only ids below this one: the last id of the previous page.
            limit: At most 1,000.

        Raises:
            InvalidArgumentError: A filter is not what it should be.
        """
        filters = _signal_filters(signal, correlation_key, workflow_id, inserted_from, inserted_to)
        older, page = unless_none(as_id, "before", before), as_count("limit", limit)
        async with self._connect() as session:
            return await finding_signals.list_signals(session, filters, before=older, limit=page)

    async def list_waits(
        self,
        *,
        signal: str | None = None,
        correlation_key: str | None = None,
        workflow_id: int | str | None = None,
        registered_from: datetime | None = None,
        registered_to: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> Sequence[OpenWait]:
        """Waits that no signal has ended yet and that fit everything that is given, newest first; as ``list_signals``.

        Args:
            workflow_id: The workflow that waits.
            registered_from, registered_to: They began from this instant on, before that one; aware.
        """
        filters = _signal_filters(signal, correlation_key, workflow_id, registered_from, registered_to)
        older, page = unless_none(as_id, "before", before), as_count("limit", limit)
        async with self._connect() as session:
            return await finding_signals.list_waits(session, filters, before=older, limit=page)

    async def results(self, workflow_id: int | str) -> dict[str, Any]:
        """Step name -> result of the completed steps, in position order; None where there is no result.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await reads.list_results(session, as_workflow_id(workflow_id))

    async def callbacks(self, workflow_id: int | str) -> Sequence[CallbackRecord]:
        """What became of the ``on_finished`` job, once for each time that the workflow ended, oldest first.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await reads.list_callbacks(session, as_workflow_id(workflow_id))

    async def history(
        self, workflow_id: int | str, *, step: str | None = None, after: str | None = None, limit: int = 100
    ) -> History:
        """Everything that happened to a workflow in one timeline, oldest first, and how its steps spent their time.

        Attempts, events, commands, signals, rescues and incidents; errors, reasons and details as the display policy
        shows them. What the retention or Oban's pruner removed is named in ``known_from`` and ``jobs_gone``.

        Args:
            step: Only what is about this step.
            after: Where the page before ended: its ``next_after``.
            limit: At most 1,000.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
            StepNotFoundError: There is no such step.
        """
        key, name = as_workflow_id(workflow_id), unless_none(as_key, "step", step)
        place, page = unless_none(as_place, "after", after), as_count("limit", limit)
        async with self._connect() as session:
            history = await read_history(session, key, step=name, after=place, limit=page)
        return apply_display(self._display, history)

    async def export(self, workflow_id: int | str) -> dict[str, Any]:
        """A whole workflow, with what is nested in it and around it, as one JSON document, to bring it back in a test.

        Values are as the display policy shows them: docs/reference/workflow-export.md has the format.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return await export_workflow(session, as_workflow_id(workflow_id), self._display)

    async def to_mermaid(self, workflow_id: int | str) -> str:
        """A stored workflow with its states as a Mermaid flowchart.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return drawing.mermaid(await reads.list_nodes(session, as_workflow_id(workflow_id)))

    async def to_dot(self, workflow_id: int | str) -> str:
        """A stored workflow with its states in Graphviz's DOT language.

        Raises:
            WorkflowNotFoundError: It does not exist, or was pruned.
        """
        async with self._connect() as session:
            return drawing.dot(await reads.list_nodes(session, as_workflow_id(workflow_id)))
