"""Oban's own decorators ``job`` and ``worker``, with the types they do not carry."""

from collections.abc import Callable
from typing import Any, Protocol, cast

from oban import Job, decorators


class Step(Protocol):
    """What the decorators make of a function or a class."""

    def new(self, *args: Any, **options: Any) -> Job:
        """A job that runs it."""
        ...


_untyped = cast("Any", decorators)

job: Callable[..., Callable[[Callable[..., Any]], Step]] = _untyped.job
worker: Callable[..., Callable[[type], Step]] = _untyped.worker
