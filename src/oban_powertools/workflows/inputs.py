"""Read the arguments of the calls that build a definition: dependencies, workers, jobs, mappings.

No I/O. An iterable is read once, and a wrong argument is refused in the line that passes it.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FrameType
from typing import Any, Final, Literal, cast

from oban import Job
from oban.worker import worker_name

from ..annotations import ANYTHING, Border
from ..arguments import as_list, refuse
from ..errors import InvalidArgumentError
from .references import Reference, StepHandle, is_reference, item_codec
from .typed_job import typed

type PolicyName = Literal["cancel", "continue"]
type EffectsName = Literal["repeatable", "ask", "never"]
type StepName = str | StepHandle[Any]
type Deps = StepName | Iterable[StepName] | Mapping[StepName, PolicyName] | Mapping[str, PolicyName]

type CallSite = tuple[CodeType, int]
"""Code, and the instruction in it that runs; its line is looked for when somebody asks."""

_PACKAGE: Final = __file__.removesuffix("workflows/inputs.py")
"""The folder of this package."""

_FRAME_AT: Final[Callable[[int], FrameType]] = vars(sys)["_getframe"]
"""``sys._getframe``, which is documented; to ask ``inspect`` for a frame takes a fifth of the time of an ``add``."""

BORDER: Final = "_powertools_border"
"""The attribute of a worker of ours with what its args and its result are."""

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
    if deps == ():
        return []
    if type(deps) in (list, tuple):  # as most are
        return [(dep, policy) for dep in cast("Iterable[StepName]", deps)]
    parents = read_deps(deps)
    if isinstance(parents, str | StepHandle):
        return [(parents, policy)]
    if isinstance(parents, Mapping):
        return list(cast("Mapping[StepName, PolicyName]", parents).items())
    return [(dep, policy) for dep in parents]


def item_job(worker: Any, over: Any, args: Mapping[str, Any] | None) -> Job:
    """The job of one item.

    Args:
        worker: Makes it of the item; or a worker, whose options that are not Oban's go to ``extra`` as with ``new``.
        over: The list, whose items may be known to have fields.
        args: None passes the item alone.
    """
    if isinstance(worker, Job):
        raise refuse(
            "worker", worker, "the worker itself: map makes its jobs; or a function that makes a job of an item"
        )
    if not isinstance(worker, type):
        return _made_of_item(worker, over, args)
    written: dict[str, Any] = {"item": Reference("", "item")} if args is None else dict(args)
    border: Border | None = getattr(worker, BORDER, None)
    options: dict[str, Any] = getattr(worker, "_opts", {})
    job_options: dict[str, Any] = {name: value for name, value in options.items() if name in _JOB_OPTIONS}
    if len(job_options) < len(options):
        job_options["extra"] = {name: value for name, value in options.items() if name not in _JOB_OPTIONS}
    if border is None:
        return Job(worker_name(worker), args=written, **job_options)
    return typed(Job(worker_name(worker), args=border.write_args(written), **job_options), border.returns)


def _made_of_item(make: Any, over: Any, args: Mapping[str, Any] | None) -> Job:
    expected = "a class with @worker, a function with @job, or a function that makes the job of an item"
    if not callable(make):
        raise refuse("worker", make, expected)
    if args is not None:
        raise refuse("args", args, "left out: the function that makes the job of an item says its args")
    codec = item_codec(over) if is_reference(over) else ANYTHING
    job = make(Reference("", "item", codec=codec))
    if not isinstance(job, Job):
        raise refuse("worker", make, expected)
    refuse_enqueued("worker", job)
    return job


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


def place_of_the_caller() -> CallSite | None:
    """The place in code outside this package that calls it."""
    frame: FrameType | None = _FRAME_AT(2)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return code, frame.f_lasti
        frame = frame.f_back
    return None


def line_of(place: CallSite | None) -> str:
    """The line of code at a place, ``file:line``; empty without one."""
    if place is None:
        return ""
    code, instruction = place
    line = next((line for start, end, line in code.co_lines() if start <= instruction < end), None)
    return f"{code.co_filename}:{line}"
