"""Find the plain function behind a worker: a ``def`` that would block the event loop, so that it runs in a thread.

Oban calls both kinds on its event loop: ``process`` of a class, which has to give an awaitable, and the function of
``@job``, inside a ``process`` of Oban's own. The rule that must never break: what is ``async`` runs on the loop.

tests/runtime/test_plain_functions.py names what is read of Oban's decorator here.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

from oban import Job

_DECORATORS: Final = "oban.decorators"
"""The module whose ``process`` calls the function of ``@job``, which it has as its free variable ``func``."""


def find_plain_function(worker: Any, job: Job) -> Callable[[], Any] | None:
    """What a worker does for a job, to be called without a loop; None where the worker is asynchronous."""
    process: object = getattr(cast("type[Any]", type(worker)), "process", None)
    if not inspect.isroutine(process):
        return None
    function = _function_of_job(process)
    if _is_asynchronous(process if function is None else function):
        return None
    if function is None:
        return lambda: worker.process(job)
    return lambda: function(**job.args)


@lru_cache(maxsize=1024)
def _function_of_job(process: Any) -> Callable[..., Any] | None:
    code = getattr(process, "__code__", None)
    if getattr(process, "__module__", None) != _DECORATORS or code is None or "func" not in code.co_freevars:
        return None
    return process.__closure__[code.co_freevars.index("func")].cell_contents


@lru_cache(maxsize=1024)
def _is_asynchronous(function: Callable[..., Any]) -> bool:
    """Whether it, or a function that it wraps, is asynchronous: a wrapper may only hand on what has to be awaited."""
    return _gives_awaitable(inspect.unwrap(function, stop=_gives_awaitable))


def _gives_awaitable(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
