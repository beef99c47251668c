"""Define a workflow in Python; nothing is written here.

A wrong argument, such as text for a list or for a timedelta, is refused in that line. A faulty definition is
not, but for a name that is there already: ``insert`` reports all its faults at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal, cast, overload

from oban import Job

from ..arguments import as_list, as_span, refuse, unless_none
from ..errors import Fault, InvalidWorkflowError
from ..spelling import did_you_mean
from . import drawing
from .defined_nodes import nodes_of
from .inputs import (
    Deps,
    EffectsName,
    PolicyName,
    StepName,
    as_mapping,
    item_job,
    place_of_the_caller,
    read_deps,
    read_edges,
    refuse_enqueued,
)
from .references import Reference, StepHandle
from .runs import MapOver, NestedStep, RunsOn, SignalWait, StepDefinition, codec_of_step, refuse_workflow
from .typed_job import MakesJobs, TypedJob, result_codec


class Workflow(NestedStep):
    """A definition: named steps, each an Oban job, and the edges between them.

    >>> from oban import job
    >>> @job(queue="default")
    ... def fetch(account_id): ...
    >>> @job(queue="default")
    ... def bill(customer): ...
    >>> workflow = Workflow("sync_customer", context={"account_id": 42})
    >>> customer = workflow.add("fetch", fetch.new(account_id=42))
    >>> billing = workflow.add("bill", bill.new(customer=customer.result["id"]))

    Args:
        name: A label; not unique.
        context: JSON that every step sees as ``current_step().context``; at most 8 KiB.
        idempotency_key: The same key returns the workflow that exists already.
        expires_in: Time from insert (from its start, when nested) until an unfinished workflow expires, also in
            seconds; each recovery restarts it.
        tags: For filtering.
        definition_version: Your name for this version of the definition.
        on_finished: A job inserted in the transaction that ends the workflow; ``current_workflow()`` has the outcome.

    Raises:
        InvalidArgumentError: An argument of a call is not what the call asks for.
    """

    __in_json__: ClassVar[str] = "add_workflow(name, workflow) makes it a step, whose result can be passed"

    item: ClassVar[Any] = cast("Reference[Any]", Reference("", "item"))
    """In the args of ``map``: the item, or a part of it as in ``Workflow.item["id"]``."""

    def __init__(
        self,
        name: str,
        *,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        expires_in: timedelta | float | None = None,
        tags: Iterable[str] = (),
        definition_version: str | None = None,
        on_finished: Job | None = None,
    ) -> None:
        self.name = name
        self.context: dict[str, Any] = dict(as_mapping("context", {} if context is None else context))
        self.idempotency_key = idempotency_key
        self.expires_in: timedelta | None = unless_none(as_span, "expires_in", expires_in)
        self.tags: tuple[str, ...] = tuple(as_list("tags", tags, "tags"))
        self.definition_version = definition_version
        self.on_finished = on_finished
        refuse_enqueued("on_finished", on_finished)
        self.steps: list[StepDefinition] = []
        self._by_name: dict[str, StepDefinition] = {}

    @overload
    def add[Result](
        self,
        name: str,
        job: TypedJob[Result],
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> StepHandle[Result]: ...
    @overload
    def add(
        self,
        name: str,
        job: Job,
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> StepHandle[Any]: ...
    def add(
        self,
        name: str,
        job: Job,
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> StepHandle[Any]:
        """Add a step.

        Args:
            name: Unique in the workflow.
            job: Any Oban job (``worker.new(...)``); its queue, priority, tags, max_attempts, meta and scheduled_at
            apply. Results of other steps may stand anywhere in its args.
            deps: Steps that must end first: names or handles (of steps added before or after), or a
                mapping to the edge's policy.
            on_failure: What a failed parent does to this step where the edge does not say:
                ``cancel`` it, or ``continue``.
            effects: May the step run twice? Repairs and rescue respect it.
            delay: Time between release and start, also in seconds (a job's own ``scheduled_at`` is absolute).

        Returns:
            A handle to name as a dependency, or to take ``.result`` and ``.error`` from.

        Raises:
            InvalidWorkflowError: The workflow has a step of this name.
        """
        if type(job) is not Job:  # as most of Oban's own are
            refuse_workflow(job)
            refuse_enqueued("job", job)
        elif job.id is not None:
            refuse_enqueued("job", job)
        return self._add(name, job, deps, on_failure, effects, delay)

    def await_signal(
        self,
        name: str,
        *,
        signal: str,
        correlation_key: str | Reference[str],
        deadline: timedelta | float | None = None,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
    ) -> StepHandle[Any]:
        """Add a step without a job that waits for a signal; the signal's payload is its result.

        Args:
            signal: The signal's name, as ``workflows.signal`` sends it.
            correlation_key: Which signal of that name: text, or a result reference.
            deadline: Time from the beginning of the wait until the step expires, also in seconds; None waits for ever.
        """
        span = unless_none(as_span, "deadline", deadline)
        wait = SignalWait(signal=signal, correlation_key=correlation_key, deadline=span)
        return self._add(name, wait, deps, on_failure)

    def add_workflow(
        self, name: str, workflow: "Workflow", *, deps: Deps = (), on_failure: PolicyName = "cancel"
    ) -> StepHandle[dict[str, Any]]:
        """Add a workflow as one step: it starts when the step is released, and the step ends as it ends.

        Its result is a map of the nested workflow's results, step name -> result. It is stored with this
        one as a workflow of its own.
        """
        as_definition("workflow", workflow)
        return self._add(name, workflow, deps, on_failure)

    @overload
    def map[Item, Result](
        self,
        name: str,
        worker: Callable[[Item], TypedJob[Result]],
        *,
        over: Reference[Sequence[Item]] | Sequence[Item],
        max_failures: Literal[0] = 0,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
    ) -> StepHandle[list[Result]]: ...
    @overload
    def map[Item, Result](
        self,
        name: str,
        worker: Callable[[Item], TypedJob[Result]],
        *,
        over: Reference[Sequence[Item]] | Sequence[Item],
        max_failures: int,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
    ) -> StepHandle[list[Result | None]]: ...
    @overload
    def map[Result](
        self,
        name: str,
        worker: MakesJobs[Result],
        *,
        over: Reference[Any] | Sequence[Any],
        args: Mapping[str, Any] | None = None,
        max_failures: Literal[0] = 0,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
    ) -> StepHandle[list[Result]]: ...
    @overload
    def map[Result](
        self,
        name: str,
        worker: MakesJobs[Result],
        *,
        over: Reference[Any] | Sequence[Any],
        args: Mapping[str, Any] | None = None,
        max_failures: int,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
    ) -> StepHandle[list[Result | None]]: ...
    @overload
    def map(
        self,
        name: str,
        worker: type[Any],
        *,
        over: Reference[Any] | Sequence[Any],
        args: Mapping[str, Any] | None = None,
        max_failures: int = 0,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
    ) -> StepHandle[list[Any]]: ...
    def map(
        self,
        name: str,
        worker: Any,
        *,
        over: Reference[Any] | Sequence[Any],
        args: Mapping[str, Any] | None = None,
        max_failures: int = 0,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
    ) -> StepHandle[Any]:
        """Add a step that runs a worker once for each item of a list known only at run time.

        Args:
            worker: A function that makes the job of an item, such as ``bill.new`` or
                ``lambda order: bill.new(order.total)``; or a worker, whose options are kept.
            over: The list: a result reference, or a list.
            args: With a worker: args of each item's job, where ``Workflow.item`` (or a part of it) stands for the item;
                None passes the item alone, as ``item``.
            max_failures: How many items may fail before the map does; their results are null.

        Returns:
            A handle; its result is the list of the items' results in order, empty for an empty list.
        """
        if type(max_failures) is not int:
            raise refuse("max_failures", max_failures, "a whole number")
        job = item_job(worker, over, None if args is None else as_mapping("args", args))
        mapped = MapOver(
            over=list(over) if isinstance(over, tuple) else cast("Any", over), job=job, max_failures=max_failures
        )
        return self._add(name, mapped, deps, on_failure, effects)

    def _add(
        self,
        name: str,
        runs: RunsOn,
        deps: Deps,
        on_failure: PolicyName,
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> StepHandle[Any]:
        step = StepDefinition(
            name=name,
            runs=runs,
            on_failure=on_failure,
            effects=effects,
            delay=None if delay is None else as_span("delay", delay),
            place=place_of_the_caller(),
            deps=read_edges(deps, on_failure),
        )
        first = self._by_name.setdefault(name, step) if type(name) is str else self._first_named(step)
        if first is not step and name:
            raise self._twice(first, step)
        self.steps.append(step)
        return StepHandle(name, self, result_codec(runs) if isinstance(runs, Job) else codec_of_step(runs))

    def _first_named(self, step: StepDefinition) -> StepDefinition:
        is_text = isinstance(cast("object", step.name), str)  # what is none is a fault that insert reports
        return self._by_name.setdefault(step.name, step) if is_text else step

    def _twice(self, first: StepDefinition, step: StepDefinition) -> InvalidWorkflowError:
        message = f"a step of this name was added at {first.added_at}; names are unique in a workflow"
        fault = Fault(code="duplicate_step_name", message=message, step=first.name, added_at=step.added_at)
        return InvalidWorkflowError(str(self.name), [fault])

    @overload
    def add_many[Result](
        self,
        jobs: Mapping[str, TypedJob[Result]],
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> list[StepHandle[Result]]: ...
    @overload
    def add_many(
        self,
        jobs: Mapping[str, Job],
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> list[StepHandle[Any]]: ...
    def add_many(
        self,
        jobs: Mapping[str, Any],
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | float | None = None,
    ) -> list[StepHandle[Any]]:
        """Add several steps with the same options; handles in the mapping's order."""
        parents = read_deps(deps)
        return [
            self.add(name, job, deps=parents, on_failure=on_failure, effects=effects, delay=delay)
            for name, job in as_mapping("jobs", jobs).items()
        ]

    def connect(self, parent: StepName, child: StepName, *, policy: PolicyName | None = None) -> None:
        """Add an edge between two steps that were added.

        The same edge twice with the same policy is one edge.

        Args:
            policy: What a failed parent does to the child; None takes the child's ``on_failure``.

        Raises:
            ValueError: No step of the child's name was added, or its handle belongs to another workflow.
        """
        name = child.name if isinstance(child, StepHandle) else child
        if isinstance(child, StepHandle) and not child.belongs_to(self):
            raise ValueError(f"the handle {name!r} belongs to another workflow than {self.name!r}")
        step = self._by_name.get(name)
        if step is None:
            meant = did_you_mean(name, self._by_name)
            raise ValueError(f"workflow {self.name!r} has no step {name!r}{meant}: add it before connecting it")
        step.deps.append((parent, step.on_failure if policy is None else policy))

    @staticmethod
    def result(step: str) -> Any:
        """The result of a step by name; in a later step's args it implies the dependency."""
        reference: Reference[Any] = Reference(step)
        return reference

    def to_mermaid(self) -> str:
        """The definition as a Mermaid flowchart; edges to steps that were not added are left out."""
        return drawing.mermaid(nodes_of(self.steps))

    def to_dot(self) -> str:
        """The definition in Graphviz's DOT language; edges to steps that were not added are left out."""
        return drawing.dot(nodes_of(self.steps))

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} of {len(self.steps)} steps>"


def as_definition(argument: str, value: object) -> Workflow:
    """Check that an argument is a definition.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if isinstance(value, Workflow):
        return value
    match value:
        case Job():
            expected = "a Workflow: workflow.add(name, job) makes the job a step of one"
        case list() | tuple():
            expected = "one Workflow; insert_many takes several"
        case _:
            expected = "a Workflow"
    raise refuse(argument, cast("object", value), expected)
