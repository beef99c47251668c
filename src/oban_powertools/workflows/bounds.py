"""The limits of names, keys and durations.

Pure. A value that no index can hold or no timestamp can represent is refused here, because a workflow that has started
has nobody left to report it to.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..arguments import LONGEST
from ..database import json_border
from ..errors import Fault

LONGEST_KEY: Final = 200
"""Characters of a name or a key. An index entry holds 2,704 bytes, and one index contains three of them."""

MOST_LEVELS: Final = 100
"""Levels of nested workflows, with the outermost: each takes stack in the server when all start at once."""


def text_faults(value: Any, path: str) -> list[Fault]:
    """Why a value cannot be a name or a key; empty when it can. An empty text is allowed."""
    if not isinstance(value, str):
        return [Fault(code="not_text", path=path, message=f"expected text, found {type(value).__qualname__}")]
    faults = json_border.find_faults(value, path)
    if len(value) > LONGEST_KEY:
        message = f"the text has {len(value)} characters, at most {LONGEST_KEY} are allowed"
        faults.insert(0, Fault(code="name_too_long", path=path, message=message))
    return faults


def span_faults(value: Any, name: str, *, code: str, at_once: bool = True) -> list[Fault]:
    """Why a value cannot be a duration until something happens; empty when it can. None is allowed.

    Args:
        name: ``delay``, ``deadline`` or ``expires_in``.
        code: The code of the fault.
        at_once: Whether it may be 0.
    """
    if value is None:
        return []
    if not isinstance(value, timedelta):
        message = f"its {name} is {value!r}; expected a timedelta, such as timedelta(seconds=60)"
        return [Fault(code=code, message=message)]
    if timedelta(0) < value <= LONGEST or (at_once and not value):
        return []
    allowed = "0 to 100 years" if at_once else "positive, at most 100 years"
    return [Fault(code=code, message=f"{name} is {value}; it must be {allowed}")]


def schedule_faults(value: Any, path: str) -> list[Fault]:
    """Why a value cannot be the instant from which a job may run; empty when it can. None is allowed."""
    if value is None:
        return []
    if not isinstance(value, datetime):
        message = f"scheduled_at is {value!r}; expected a datetime"
        return [Fault(code="invalid_schedule", path=path, message=message)]
    # Its own zone is left out: at either end of the calendar it cannot be converted.
    if value.replace(tzinfo=UTC) > datetime.now(UTC) + LONGEST:
        message = f"scheduled_at is {value}; it must be within 100 years from now"
        return [Fault(code="invalid_schedule", path=path, message=message)]
    return []
