"""Describe an error by its class and its text, taken from the exception when it is raised.

A stored error is ``{"attempt", "at", "error", "class", "text"}``: ``error`` is what Oban writes, usually a traceback;
``class`` and ``text`` are the exception's own. Processes without Powertools, in Python or Elixir, write only
``error``; the database derives the other two from it as well as it can (``told_error_v1``). The rule that must never
break: whatever an exception raises while it is described, the description exists and is bounded.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from oban import Cancel, Job

from ..database import json_border
from ..privacy.shortening import LONGEST_ERROR, shortened

LONGEST_TEXT: Final = 2_000
"""Characters kept of an exception's own text."""

_NAMED: Final = 3
"""Classes that the name of a group names."""

_FAILURE: Final = "powertools_failure"
_SPACE: Final = re.compile(r"\s+")


def remember_failure(job: Job, outcome: Any) -> None:
    """Remember a job's exception until its ack is written: for attempts that Oban's own executor runs."""
    if isinstance(cast("object", job.extra), dict):
        if isinstance(outcome, (BaseException, Cancel)):
            job.extra[_FAILURE] = describe_failure(outcome.reason if isinstance(outcome, Cancel) else outcome)
        else:
            job.extra.pop(_FAILURE, None)


def find_failure(job: Job) -> dict[str, str]:
    """The description from ``remember_failure``; empty without one."""
    # A worker may have left anything here.
    extra: dict[str, Any] | None = job.extra if isinstance(cast("object", job.extra), dict) else None
    return (extra or {}).get(_FAILURE) or {}


def kept_error(error: Mapping[str, Any], failure: Mapping[str, str]) -> dict[str, Any]:
    """Oban's error in its stored form: bounded, with its class and its text unless it already has them."""
    return {**failure, **error, "error": _storable(str(error.get("error")), LONGEST_ERROR)}


def describe_failure(error: object) -> dict[str, str]:
    """The class and the text of an exception; for a reason, which has no class, only the text.

    >>> describe_failure(LookupError("no ribbon left"))
    {'class': 'LookupError', 'text': 'no ribbon left'}
    >>> describe_failure(ExceptionGroup("two failed", [ValueError(1), ExceptionGroup("", [KeyError("a")])]))["class"]
    'ExceptionGroup(KeyError, ValueError)'
    """
    if not isinstance(error, BaseException):
        return {"text": _storable(error, LONGEST_TEXT)} if isinstance(error, str) else {}
    name, text = name_of(type(error)), _text(error)
    if isinstance(error, BaseExceptionGroup):
        leaves = list(_leaves(cast("BaseExceptionGroup[BaseException]", error)))
        names = sorted({name_of(type(leaf)) for leaf in leaves})
        more = ["..."] if len(names) > _NAMED else []
        name = f"{name}({', '.join(names[:_NAMED] + more)})"
        causes = (f"{name_of(type(leaf))}: {shortened(_text(leaf), 500)}" for leaf in leaves[:_NAMED])
        text = f"{text}: {'; '.join(causes)}"
    return {"class": _storable(name, 200), "text": _storable(text, LONGEST_TEXT)}


def name_of(kind: type[BaseException]) -> str:
    """The name of an exception's class, as a traceback writes it.

    >>> name_of(KeyError), name_of(json_border.UnstorableValueError)
    ('KeyError', 'oban_powertools.errors.definition.UnstorableValueError')
    """
    try:
        module, name = kind.__module__, kind.__qualname__
    except BaseException as fault:  # noqa: BLE001 - a metaclass's own code
        return f"(its name cannot be had: that raises {type(fault).__name__})"
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def summary(error: Any) -> str:
    r"""An error in one line: its class and its text; empty for none.

    >>> summary({"error": "Traceback ...", "class": "ValueError", "text": "no such account\n"})
    'ValueError: no such account'
    """
    if error is None:
        return ""
    if not isinstance(error, Mapping):
        return one_line(error if isinstance(error, str) else json_border.dumps(error))
    fields = cast("Mapping[str, Any]", error)
    message: Any = fields.get("error")
    # Somebody's own error may be more than a text.
    text = fields.get("text", message) if isinstance(message, str | None) else message
    line = one_line(text if isinstance(text, str) else json_border.dumps(text))
    return ": ".join(part for part in (fields.get("class"), line) if part)


def one_line(text: str) -> str:
    r"""A text in one line.

    >>> one_line("1 error\n  Input should be a number\n")
    '1 error Input should be a number'
    """
    return _SPACE.sub(" ", shortened(text, LONGEST_TEXT)).strip()


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(cast("BaseExceptionGroup[BaseException]", error))
        else:
            yield error


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as fault:  # noqa: BLE001 - the exception's own code
        return f"(its text cannot be had: str() raises {type(fault).__name__})"


def _storable(text: str, most: int) -> str:
    return json_border.storable_text(shortened(text, most))
