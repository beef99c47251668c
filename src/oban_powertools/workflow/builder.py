"""Define a workflow in Python. Nothing is checked or written here; ``insert`` does both.

The rule that must never break: building never raises for a faulty definition, so that ``insert``
can report all faults at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast

from oban import Job

from .. import json_border
from . import drawing
from .references import Reference, StepHandle

type PolicyName = Literal["cancel", "continue"]
type EffectsName = Literal["repeatable", "ask", "never"]
type StepName = str | StepHandle
type Deps = StepName | Iterable[StepName] | Mapping[StepName, PolicyName] | Mapping[str, PolicyName]


@dataclass(slots=True, kw_only=True)
class StepDefinition:
    """One added step, as the author gave it."""

    name: str
    """Unique in the workflow."""

    job: Job
    """What its worker runs, with all its options; the args may hold references."""

    on_failure: PolicyName
    """Policy of the edges whose policy was not given."""

    effects: EffectsName
    """May it run twice?"""

    delay: timedelta | None
    """Time between release and start."""

    deps: list[tuple[StepName, PolicyName]] = field(default_factory=list[tuple[StepName, PolicyName]])
    """Explicit edges in the order given: parent, policy."""


class Workflow:
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
        expires_in: Time from insert until an unfinished workflow expires.
        tags: For filtering.
        definition_version: Your name for this version of the definition.
        on_finished: A job inserted in the transaction that ends the workflow; ``current_workflow()``
            tells it the outcome.
    """

    def __init__(
        self,
        name: str,
        *,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        expires_in: timedelta | None = None,
        tags: Sequence[str] = (),
        definition_version: str | None = None,
        on_finished: Job | None = None,
    ) -> None:
        self.name = name
        self.context = dict(context or {})
        self.idempotency_key = idempotency_key
        self.expires_in = expires_in
        self.tags = tuple(tags)
        self.definition_version = definition_version
        self.on_finished = on_finished
        self.steps: list[StepDefinition] = []
        self._by_name: dict[str, StepDefinition] = {}

    def add(
        self,
        name: str,
        job: Job,
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | None = None,
    ) -> StepHandle:
        """Add a step.

        Args:
            name: Unique in the workflow.
            job: Any Oban job (``worker.new(...)``); queue, priority, tags, max_attempts, meta and
                scheduled_at are kept. Results of other steps may stand anywhere in its args.
            deps: Steps that must end first: names or handles (of steps added before or after), or a
                mapping to the edge's policy.
            on_failure: What a failed parent does to this step where the edge does not say:
                ``cancel`` it, or ``continue``.
            effects: May the step run twice? Repairs and rescue respect it.
            delay: Time between release and start (a job's own ``scheduled_at`` is absolute).

        Returns:
            A handle to name as a dependency, or to take ``.result`` and ``.error`` from.
        """
        step = StepDefinition(name=name, job=job, on_failure=on_failure, effects=effects, delay=delay)
        step.deps.extend(_edges(deps, on_failure))
        self.steps.append(step)
        self._by_name.setdefault(name, step)
        return StepHandle(name, self)

    def add_many(
        self,
        jobs: Mapping[str, Job],
        *,
        deps: Deps = (),
        on_failure: PolicyName = "cancel",
        effects: EffectsName = "ask",
        delay: timedelta | None = None,
    ) -> list[StepHandle]:
        """Add several steps with the same options; handles in the mapping's order."""
        return [
            self.add(name, job, deps=deps, on_failure=on_failure, effects=effects, delay=delay)
            for name, job in jobs.items()
        ]

    def connect(self, parent: StepName, child: StepName, *, policy: PolicyName | None = None) -> None:
        """Add an edge between two steps that were added.

        The same edge twice with the same policy is one edge.

        Args:
            policy: What a failed parent does to the child; None takes the child's ``on_failure``.

        Raises:
            ValueError: No step of the child's name was added.
        """
        name = child.name if isinstance(child, StepHandle) else child
        step = self._by_name.get(name)
        if step is None:
            raise ValueError(f"workflow {self.name!r} has no step {name!r}: add it before connecting it")
        step.deps.append((parent, policy or step.on_failure))

    @staticmethod
    def result(step: str) -> Reference:
        """The result of a step by name; in a later step's args it implies the dependency."""
        return Reference(step)

    def to_mermaid(self) -> str:
        """The definition as a Mermaid flowchart; edges to steps that were not added are left out."""
        return drawing.mermaid(self._nodes())

    def to_dot(self) -> str:
        """The definition in Graphviz's DOT language; edges to steps that were not added are left out."""
        return drawing.dot(self._nodes())

    def _nodes(self) -> list[drawing.Node]:
        positions: dict[str, int] = {}
        for position, step in enumerate(self.steps):
            positions.setdefault(step.name, position)
        return [drawing.Node(name=str(step.name), parents=_drawn_parents(step, positions)) for step in self.steps]


def _drawn_parents(step: StepDefinition, positions: Mapping[str, int]) -> dict[int, str]:
    references: list[Reference] = []

    def leaf(value: Any, _: str) -> bool:
        if isinstance(value, Reference):
            references.append(value)
        return isinstance(value, Reference)

    json_border.find_faults(getattr(step.job, "args", None), "args", leaf)
    edges = [(parent.name if isinstance(parent, StepHandle) else parent, policy) for parent, policy in step.deps]
    edges += [(reference.step, step.on_failure) for reference in references]
    return {positions[parent]: policy for parent, policy in reversed(edges) if parent in positions}


def _edges(deps: Deps, policy: PolicyName) -> list[tuple[StepName, PolicyName]]:
    if isinstance(deps, (str, StepHandle)):
        return [(deps, policy)]
    if isinstance(deps, Mapping):
        return list(cast("Mapping[StepName, PolicyName]", deps).items())
    return [(dep, policy) for dep in deps]
