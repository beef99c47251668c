"""A step as its author defined it, and what it may run on. No I/O."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from oban import Job

from ..annotations import ANYTHING, Codec, list_of
from ..arguments import refuse
from .inputs import CallSite, EffectsName, PolicyName, StepName, line_of
from .references import Reference
from .typed_job import result_codec


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalWait:
    """What an ``await_signal`` step waits for."""

    signal: str
    """The signal's name."""

    correlation_key: str | Reference[str]
    """Which signal of that name; a reference is resolved when the wait begins."""

    deadline: timedelta | None
    """Time from the beginning of the wait until it expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOver:
    """What a ``map`` step runs for each item of a list."""

    over: Reference[Any] | list[Any]
    """The list, usually a result known only at run time."""

    job: Job
    """The job of one item; ``Workflow.item`` in its args stands for the item."""

    max_failures: int
    """How many items may fail before the map does."""


class NestedStep:
    """A workflow as a step of another one: the base of ``Workflow``, which is defined above."""


type RunsOn = Job | SignalWait | MapOver | NestedStep
"""What a step runs on."""


@dataclass(slots=True, kw_only=True)
class StepDefinition:
    """One added step, as the author defined it."""

    name: str
    """Unique in the workflow."""

    runs: RunsOn
    """What it runs on: a job with all its options, a wait, a map, or a nested workflow."""

    on_failure: PolicyName
    """The policy of edges without one of their own."""

    effects: EffectsName
    """May it run twice?"""

    delay: timedelta | None
    """Time between release and start."""

    place: CallSite | None = None
    """Where code added it."""

    deps: list[tuple[StepName, PolicyName]] = field(default_factory=list[tuple[StepName, PolicyName]])
    """Explicit edges in their order: parent, policy."""

    @property
    def added_at(self) -> str:
        """The line of code that added it, ``file:line``."""
        return line_of(self.place)


def codec_of_step(runs: RunsOn) -> Codec:
    """The codec of a step's result."""
    match runs:
        case Job():
            return result_codec(runs)
        case MapOver():
            return list_of(result_codec(runs.job))
        case _:
            return ANYTHING


def refuse_workflow(job: object) -> None:
    """Refuse a workflow in the place of a job.

    Raises:
        InvalidArgumentError: As named.
    """
    if isinstance(job, NestedStep):
        raise refuse("job", job, "an Oban job; add_workflow adds a workflow as one step")
