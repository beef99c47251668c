"""Make workers, as Oban's own ``job`` and ``worker`` do, whose args and results have types.

Oban's decorators do the work: the worker has the same name, options and methods, and runs wherever Oban's do. What is
added: type checkers know ``new`` and what the worker returns, and values of annotated types become JSON and are read
back. The rule that must never break: a job's args are plain JSON, which any worker in any language can run.
"""

import functools
import inspect
import types
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, cast, get_args, get_origin, overload

from oban import Cancel, Job, Oban, Record, Snooze
from oban import decorators as oban_decorators
from oban.worker import worker_name

from .annotations import Border, border_of, record_border
from .arguments import refuse
from .runtime.step import AwaitSignal
from .workflows.inputs import BORDER
from .workflows.references import StepHandle
from .workflows.typed_job import TypedJob, typed

__all__ = ["Ending", "JobDecorator", "JobWorker", "Worker", "WorkerDecorator", "job", "worker"]

type Ending = Cancel | Snooze | Record | AwaitSignal
"""What a worker may return instead of a result."""

_OBAN: Final[Any] = oban_decorators
"""Oban's decorators, which have no types."""

_ENDINGS: Final = (Cancel, Snooze, Record, AwaitSignal)


class JobWorker[**Args, Result](Protocol):
    """The worker that ``job`` makes of a function. It is a class, as Oban's; only these two are for its callers."""

    def new(self, *args: Args.args, **kwargs: Args.kwargs) -> TypedJob[Result]:
        """A job with these args, not enqueued: for a step, or for Oban.

        Raises:
            UnfitValueError: An arg is not of the type of its parameter.
            TypeError: An arg is missing, or has no parameter.
        """
        ...

    @overload
    async def enqueue(self, *args: Args.args, **kwargs: Args.kwargs) -> Job: ...
    @overload
    async def enqueue(self, *args: Any, conn: Any, **kwargs: Any) -> Job: ...
    async def enqueue(self, *args: Any, **kwargs: Any) -> Job:
        """Make a job and insert it; with ``conn=`` in the caller's transaction, as Oban does."""
        ...


class JobDecorator(Protocol):
    """What ``job`` returns: makes a worker of a function, asynchronous or not."""

    @overload
    def __call__[**Args, Result](
        self, function: Callable[Args, Coroutine[Any, Any, Result | Ending]], /
    ) -> JobWorker[Args, Result]: ...
    @overload
    def __call__[**Args, Result](self, function: Callable[Args, Result | Ending], /) -> JobWorker[Args, Result]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        """The worker."""
        ...


class WorkerDecorator(Protocol):
    """What ``worker`` returns: makes a worker of a class, which stays the same class."""

    def __call__[Class](self, cls: type[Class], /) -> type[Class]:
        """The class."""
        ...


class Worker[Args, Result]:
    """The base of a worker class whose args are one record: a dataclass, a Pydantic model or a TypedDict.

    >>> from dataclasses import dataclass
    >>> from oban_powertools import Worker, worker
    >>> @dataclass
    ... class Letter:
    ...     to: str
    >>> @worker(queue="letters")
    ... class Send(Worker[Letter, int]):
    ...     async def process(self, job, args):
    ...         return len(args.to)
    >>> Send.new(Letter("Ada")).args
    {'to': 'Ada'}
    """

    @classmethod
    def new(cls, args: Args, /, **options: Any) -> TypedJob[Result]:
        """A job with these args, not enqueued; its options are Oban's, such as ``queue`` and ``scheduled_in``.

        Raises:
            UnfitValueError: The args, or a part of them, are not of their type.
        """
        del args, options
        raise _undecorated(cls)

    @classmethod
    async def enqueue(cls, args: Args, /, conn: Any = None, **options: Any) -> Job:
        """Make a job and insert it; with ``conn=`` in the caller's transaction, as Oban does."""
        del args, conn, options
        raise _undecorated(cls)

    def process(self, job: Job, args: Args, /) -> Coroutine[Any, Any, Result | Ending] | Result | Ending:
        """Run the job; ``async`` or not."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a process(self, job, args)")


def _undecorated(cls: type) -> TypeError:
    return TypeError(f"{cls.__qualname__} is no worker yet: put @worker(...) in front of the class")


def job(
    *,
    oban: str = "Oban",
    cron: str | Mapping[str, str] | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    priority: int | None = None,
    tags: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
    scheduled_at: datetime | None = None,
    scheduled_in: timedelta | float | None = None,
    **others: Any,
) -> JobDecorator:
    """Make a worker of a function, as Oban's ``job`` does; its parameters are the args of its jobs.

    >>> from decimal import Decimal
    >>> from oban_powertools import job
    >>> @job(queue="billing")
    ... async def bill(total: Decimal) -> str:
    ...     return f"{total} paid"
    >>> bill.new(total=Decimal("9.90")).args
    {'total': '9.90'}

    Args:
        oban: The name of the Oban instance that ``enqueue`` uses.
        cron: When jobs of it are inserted by themselves.
        queue, max_attempts, priority, tags, meta, scheduled_at, scheduled_in: Of each job; None for Oban's defaults.
        others: Options of Oban's extensions.

    Raises:
        UnsupportedAnnotationError: When it decorates: a parameter or the result has no JSON form.
    """
    options = _options(queue, max_attempts, priority, tags, meta, scheduled_at, scheduled_in) | others

    def decorate(function: Callable[..., Any], /) -> Any:
        border = border_of(function, worker_name(cast("type", function)), endings=_ENDINGS)
        run = function if border.is_plain else _through(border, function)
        made: Any = _OBAN.job(oban=oban, cron=cron, **options)(run)
        make = made.new

        @functools.wraps(function)
        def new(*args: Any, **kwargs: Any) -> TypedJob[Any]:
            made_job: Job = make(*args, **kwargs)
            _refuse_steps(made_job.args)
            if not border.is_plain:
                made_job.args = border.write_args(made_job.args)
            return typed(made_job, border.returns)

        @functools.wraps(function)
        async def enqueue(*args: Any, conn: Any = None, **kwargs: Any) -> Job:
            return await Oban.get_instance(oban).enqueue(new(*args, **kwargs), conn=conn)

        made.new, made.enqueue = staticmethod(new), staticmethod(enqueue)
        setattr(made, BORDER, border)
        return made

    return decorate


def worker(
    *,
    oban: str = "Oban",
    cron: str | Mapping[str, str] | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    priority: int | None = None,
    tags: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
    scheduled_at: datetime | None = None,
    scheduled_in: timedelta | float | None = None,
    **others: Any,
) -> WorkerDecorator:
    """Make a worker of a class, as Oban's ``worker`` does, with the same options as ``job``.

    A class that derives from ``Worker`` has typed args; any other one takes a dict, as with Oban. The result is written
    by the annotation of ``process`` in both.

    Raises:
        UnsupportedAnnotationError: When it decorates: the args or the result have no JSON form.
    """
    options = _options(queue, max_attempts, priority, tags, meta, scheduled_at, scheduled_in) | others

    def decorate(cls: type[Any], /) -> Any:
        kinds = _kinds_of(cls)
        border = record_border(cls, worker_name(cls), kinds, endings=_ENDINGS)
        if not border.is_plain and hasattr(cls, "process"):
            cls.process = _process_through(border, cls.process, takes_args=kinds is not None)
        made: Any = _OBAN.worker(oban=oban, cron=cron, **options)(cls)
        make = made.new.__func__

        def new(cls: type[Any], args: Any = None, /, **options: Any) -> TypedJob[Any]:
            written = args if args is None and kinds is None else border.write_args(args)
            return typed(make(cls, written, **options), border.returns)

        async def enqueue(cls: type[Any], args: Any = None, /, conn: Any = None, **options: Any) -> Job:
            return await Oban.get_instance(oban).enqueue(new(cls, args, **options), conn=conn)

        made.new, made.enqueue = classmethod(new), classmethod(enqueue)
        setattr(made, BORDER, border)
        return made

    return decorate


def _options(
    queue: str | None,
    max_attempts: int | None,
    priority: int | None,
    tags: Sequence[str] | None,
    meta: Mapping[str, Any] | None,
    scheduled_at: datetime | None,
    scheduled_in: timedelta | float | None,
) -> dict[str, Any]:
    options = {
        "queue": queue,
        "max_attempts": max_attempts,
        "priority": priority,
        "tags": tags,
        "meta": meta,
        "scheduled_at": scheduled_at,
        "scheduled_in": scheduled_in,
    }
    return {name: value for name, value in options.items() if value is not None}


def _kinds_of(cls: type[Any]) -> tuple[Any, Any] | None:
    """The types of args and result that a class names to ``Worker``; None for a class that does not derive from it."""
    for each in cls.__mro__:
        for base in types.get_original_bases(each) if each is not object else ():
            if get_origin(base) is Worker:
                args, result = get_args(base)
                return args, result
    return (Any, Any) if issubclass(cls, Worker) else None


def _through(border: Border, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called with the values of its annotated types; its result is JSON."""

    async def written(result: Any) -> Any:
        return _written(border, await result)

    @functools.wraps(function)
    async def run(**args: Any) -> Any:
        return _written(border, await function(**border.read_args(args)))

    @functools.wraps(function)
    def run_plain(**args: Any) -> Any:
        result = function(**border.read_args(args))
        return written(result) if inspect.isawaitable(result) else _written(border, result)

    # A plain function stays one, so that it can be told apart and run in a thread.
    return run if inspect.iscoroutinefunction(function) else run_plain


def _process_through(border: Border, process: Callable[..., Any], *, takes_args: bool) -> Callable[..., Any]:
    """A worker's ``process`` as Oban calls it, with the job alone; a test may call it with the args, too."""

    def arguments(job: Job, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args or ((border.read_args(job.args),) if takes_args else ())

    async def written(result: Any) -> Any:
        return _written(border, await result)

    @functools.wraps(process)
    async def run(self: Any, job: Job, *args: Any) -> Any:
        return _written(border, await process(self, job, *arguments(job, args)))

    @functools.wraps(process)
    def run_plain(self: Any, job: Job, *args: Any) -> Any:
        result = process(self, job, *arguments(job, args))
        return written(result) if inspect.isawaitable(result) else _written(border, result)

    return run if inspect.iscoroutinefunction(process) else run_plain


def _written(border: Border, result: Any) -> Any:
    return result if isinstance(result, (*_ENDINGS, Exception)) else border.write_result(result)


def _refuse_steps(args: Mapping[str, Any]) -> None:
    for name, value in args.items():
        if isinstance(value, StepHandle):
            raise refuse(name, cast("object", value), "a value; a step has one as its result: step.result")
