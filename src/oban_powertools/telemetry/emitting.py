"""Emit through ``oban.telemetry``, by its conventions, except that a failed span does not contain the error's text.

Handlers run at once, in the caller's task; Oban logs a handler that fails and goes on.
"""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from oban import telemetry
from oban.telemetry import core

from .names import Name

type Value = int | float | str


def execute(name: Name, **fields: Value) -> None:
    """Tell of something that happened."""
    telemetry.execute(name, fields)


@contextmanager
def span(name: Name, **fields: Value) -> Generator[dict[str, Value]]:
    """Tell of the start and the end of the body, with its ``duration`` in nanoseconds.

    Gives a dict for what the body finds out: field -> value, told with the end. A body that raises, or is
    cancelled, ends as ``.exception`` with the error's class as ``error_type``.
    """
    started_at = time.monotonic_ns()
    telemetry.execute(f"{name}.start", {"system_time": started_at, **fields})
    measured: dict[str, Value] = {}
    try:
        yield measured
    except BaseException as error:
        failed: dict[str, Value] = {"error_type": type(error).__name__}
        telemetry.execute(f"{name}.exception", {**_times(started_at), **fields, **measured, **failed})
        raise
    telemetry.execute(f"{name}.stop", {**_times(started_at), **fields, **measured})


def _times(started_at: int) -> dict[str, Value]:
    now = time.monotonic_ns()
    return {"system_time": now, "duration": now - started_at}


def anybody_listens(names: Sequence[Name]) -> bool:
    """Whether a handler of this process is attached to one of these."""
    attached: Mapping[str, Sequence[object]] = getattr(core, "_handlers", {})
    return any(attached.get(name) for name in names)
