"""Read the arguments of the calls that build a definition: dependencies, workers, jobs, mappings.

No I/O. An iterable is read once, and a wrong argument is refused in the line that passes it.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, cast

from oban import Job
from oban.worker import worker_name

from ..arguments import as_list, refuse
from ..errors import InvalidArgumentError
from .references import StepHandle

type PolicyName = Literal["cancel", "continue"]
type EffectsName = Literal["repeatable", "ask", "never"]
type StepName = str | StepHandle
type Deps = StepName | Iterable[StepName] | Mapping[StepName, PolicyName] | Mapping[str, PolicyName]

_PACKAGE: Final = __file__.removesuffix("workflows/inputs.py")
"""The folder of this package."""

_JOB_OPTIONS: Final = frozenset(inspect.signature(Job).parameters)
"""The options of an Oban job; a worker's other options go to ``extra``."""


def read_deps(deps: Deps) -> Deps:
    """Dependencies that can be iterated again: an iterable becomes a list.

    Raises:
        InvalidArgumentError: They are neither a name or handle, nor several, nor a mapping.
    """
    if isinstance(deps, str | StepHandle):
        return deps
    if isinstance(deps, Mapping):
        return cast("Mapping[StepName, PolicyName]", deps)
    return as_list("deps", deps, "step names or handles")


def read_edges(deps: Deps, policy: PolicyName) -> list[tuple[StepName, PolicyName]]:
    """Dependencies as edges: parent, policy."""
    if type(deps) in (list, tuple):  # as most are
        return [(dep, policy) for dep in cast("Iterable[StepName]", deps)]
    parents = read_deps(deps)
    if isinstance(parents, str | StepHandle):
        return [(parents, policy)]
    if isinstance(parents, Mapping):
        return list(cast("Mapping[StepName, PolicyName]", parents).items())
    return [(dep, policy) for dep in parents]


def item_job(worker: Any, args: dict[str, Any]) -> Job:
    """The job of one item, as the worker's own ``new`` would make it: options that are not Oban's go to ``extra``."""
    if isinstance(worker, Job):
        raise refuse("worker", worker, "the worker itself: map makes its jobs, with args= for their args")
    if not isinstance(worker, type):
        raise refuse("worker", worker, "a class with @worker, or a function with @job")
    options: dict[str, Any] = getattr(worker, "_opts", {})
    job_options: dict[str, Any] = {name: value for name, value in options.items() if name in _JOB_OPTIONS}
    if len(job_options) < len(options):
        job_options["extra"] = {name: value for name, value in options.items() if name not in _JOB_OPTIONS}
    return Job(worker_name(worker), args=args, **job_options)


def as_mapping(argument: str, value: object) -> Mapping[str, Any]:
    """A dict.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if not isinstance(value, Mapping):
        raise refuse(argument, value, "a dict")
    return cast("Mapping[str, Any]", value)


def refuse_enqueued(argument: str, job: object) -> None:
    """Refuse a job that is stored already: it would run twice.

    Raises:
        InvalidArgumentError: As named.
    """
    if isinstance(job, Job) and job.id is not None:
        subject = f"job {job.id}, which is enqueued already and would run twice"
        raise InvalidArgumentError(argument, subject, "a job that is not enqueued, as new(...) gives it")


def line_of_the_caller() -> str:
    """The line of code outside this package that calls it, ``file:line``."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
