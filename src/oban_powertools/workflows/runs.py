"""A step as its author defined it, and what it may run on. No I/O."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from oban import Job

from .inputs import EffectsName, PolicyName, StepName
from .references import Reference


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

    added_at: str = ""
    """The line of code that added it, ``file:line``."""

    deps: list[tuple[StepName, PolicyName]] = field(default_factory=list[tuple[StepName, PolicyName]])
    """Explicit edges in their order: parent, policy."""
