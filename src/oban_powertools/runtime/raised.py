"""Read what a worker has raised, whatever its author wrote: as an Exception, as text, and whether a signal raised it.

Not for what becomes of the attempt (``oban_attempts``).
"""

import functools
import inspect
import signal
import threading
import traceback
from collections.abc import Callable
from types import CodeType
from typing import Any, cast


def as_exception(error: BaseException) -> Exception:
    """The exception itself, or a replacement where it is no Exception or its name or text cannot be read."""
    kind = type(error)
    try:
        name, attributes = kind.__name__, {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    except BaseException as broken:  # noqa: BLE001 - whatever its author wrote
        return RuntimeError(f"the exception's name cannot be read, because that raises {type(broken).__qualname__}")
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001 - whatever its author wrote
        text = f"its text cannot be read, because that raises {type(broken).__qualname__}"
    else:
        if isinstance(error, Exception):
            return error
    return type(name, (Exception,), dict[str, object](attributes))(text)


def traceback_of(error: BaseException) -> str:
    """Its traceback as text, or why there is none."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as broken:  # noqa: BLE001 - whatever its author wrote
        kind = type(broken).__qualname__
        return f"{last_line(error)}\nIts traceback cannot be written, because that raises {kind}."


def last_line(error: BaseException) -> str:
    """The class and the text."""
    exception = as_exception(error)
    return f"{type(exception).__qualname__}: {exception}".rstrip(": ")


def raised_by_a_signal(error: BaseException) -> bool:
    """Whether a signal handler raised it: SystemExit or KeyboardInterrupt in a process that has to end."""
    if threading.current_thread() is not threading.main_thread():
        return False
    # Python's own handler is not written in Python, so its exception cannot be told from a worker's.
    if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return True
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))


def _code_of(handler: Any) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = cast("Callable[..., Any]", handler.func)
    return getattr(inspect.unwrap(handler), "__code__", None) if callable(handler) else None
