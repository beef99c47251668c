"""The synchronous groups of calls, made from the asynchronous ones: a call is added there, and is here.

``facades.pyi`` has their types; ``python -m tools.sync_types`` writes it, and a test compares.
"""

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, cast

from ..calls import Calls
from ..driving import drive
from ..events import Events, Subscription
from ..explain import Explain
from ..lifeline import Lifeline
from ..operators.audit import Audit
from ..states import WorkflowId
from ..upkeep.jobs import Jobs
from ..upkeep.metrics import Metrics
from ..upkeep.queues import Queues
from ..upkeep.settings import SharedSettings
from ..webhooks import Webhooks
from ..workflows import WorkflowHandle, Workflows
from .connections import callers_connection
from .runs import Runs
from .waiting import SyncSubscription, SyncWorkflowHandle

NEED_A_LOOP: Final = frozenset({Metrics, Webhooks})
"""Groups that ask other servers, or count over several calls: all of theirs run in the background."""

_WAIT: Final = frozenset({"wait"})
"""Calls that wait for others."""


class SyncGroup:
    """A group of synchronous calls."""

    _name = ""

    def __init__(self, runs: Any) -> None:
        self._runs: Runs = runs

    def _find(self, calls: Calls, name: str) -> Callable[..., Any]:
        """The asynchronous call of this name in the same group."""
        return getattr(getattr(calls, self._name), name)

    def _result_of(self, workflow_id: WorkflowId, step: str, *, timeout: timedelta | None) -> Any:
        background = self._runs.find_background()
        return background.run(background.calls.workflows.waiters.result(workflow_id, step, timeout=timeout))


def _blocking(kind: type, name: str) -> type:
    """The synchronous group of an asynchronous one."""
    made: dict[str, Any] = {"__doc__": kind.__doc__, "__module__": __name__, "_name": name}
    for attribute in dir(kind):
        member = inspect.getattr_static(kind, attribute)
        call = member.__func__ if isinstance(member, staticmethod) else member
        if not attribute.startswith("_") and inspect.isroutine(call):
            made[attribute] = _made_of(kind, call, attribute) or member
    return type(f"Sync{kind.__name__}", (SyncGroup,), made)


def _made_of(kind: type, call: Callable[..., Any], name: str) -> Callable[..., Any] | None:
    """A synchronous call of an asynchronous one; None of one that is synchronous already."""
    if inspect.isasyncgenfunction(inspect.unwrap(call)):
        made = contextmanager(_subscribing(name)) if inspect.unwrap(call) is not call else _iterating(name)
    elif not inspect.iscoroutinefunction(call):
        return None
    elif kind in NEED_A_LOOP or name in _WAIT:
        made = _in_background(name)
    else:
        made = _driving(name)
    return functools.update_wrapper(made, call, assigned=("__doc__", "__name__"), updated=())


def _driving(name: str) -> Callable[..., Any]:
    def driven(self: Any, *args: Any, **options: Any) -> Any:
        call = self._find(self._runs.find_calls(), name)
        if options.get("conn") is not None:
            options["conn"] = callers_connection(options["conn"])
        return _for_caller(self, drive(call(*args, **options)))

    return driven


def _in_background(name: str) -> Callable[..., Any]:
    def waiting(self: Any, *args: Any, **options: Any) -> Any:
        background = self._runs.find_background()
        return background.run(self._find(background.calls, name)(*args, **options))

    return waiting


def _iterating(name: str) -> Callable[..., Any]:
    def each(self: Any, *args: Any, **options: Any) -> Generator[Any]:
        found = self._find(self._runs.find_calls(), name)(*args, **options)
        try:
            while True:
                try:
                    yield drive(anext(found))
                except StopAsyncIteration:
                    return
        finally:
            drive(found.aclose())

    return each


def _subscribing(name: str) -> Callable[..., Generator[Any]]:
    def subscribed(self: Any, *args: Any, **options: Any) -> Generator[Any]:
        background = self._runs.find_background()
        opening = self._find(background.calls, name)(*args, **options)
        events: Subscription[Any] = background.run(opening.__aenter__())
        try:
            yield SyncSubscription(background.run, events)
        finally:
            background.run(opening.__aexit__(None, None, None))

    return subscribed


def _for_caller(self: Any, value: Any) -> Any:
    """A handle that waits as its caller does; any other value as it is."""
    if isinstance(value, WorkflowHandle):
        return SyncWorkflowHandle(
            id=value.id,
            name=value.name,
            inserted=value.inserted,
            wait_for=self.wait,
            result_of=self._result_of,
        )
    if isinstance(value, list):
        return [_for_caller(self, each) for each in cast("list[Any]", value)]
    return value


SyncAudit = _blocking(Audit, "audit")
SyncEvents = _blocking(Events, "events")
SyncExplain = _blocking(Explain, "explain")
SyncJobs = _blocking(Jobs, "jobs")
SyncLifeline = _blocking(Lifeline, "lifeline")
SyncMetrics = _blocking(Metrics, "metrics")
SyncQueues = _blocking(Queues, "queues")
SyncSharedSettings = _blocking(SharedSettings, "shared_settings")
SyncWebhooks = _blocking(Webhooks, "webhooks")
SyncWorkflows = _blocking(Workflows, "workflows")
