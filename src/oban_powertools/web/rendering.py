"""The templates, and the filters with which they say times, numbers and JSON.

The rule that must never break: a filter returns text, which the template escapes; nothing here makes markup.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..graph.glyphs import state_glyph
from ..plural import counted
from ..states import ExecutorStatus, IncidentStatus, OperatorStatus
from ..times import ago, duration, instant
from ..wire import rfc3339, to_json
from .act_forms import act_row, act_title, act_verb, needs_form, target_path

_GLYPH_OF_WORD: Final[Mapping[str, str]] = {
    ExecutorStatus.HEALTHY: "healthy",
    ExecutorStatus.LATE: "waiting",
    ExecutorStatus.MISSING: "missing",
    ExecutorStatus.STOPPED: "stopped",
    IncidentStatus.ACKNOWLEDGED: "acknowledged",
    IncidentStatus.RESOLVED: "completed",
}
"""Words of other things than steps and workflows, whose glyphs graphs draw."""

_OPERATOR_WORDS: Final = frozenset(OperatorStatus)


@cache
def environment() -> Environment:
    """The environment of every template."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters = cast("dict[str, Callable[..., str]]", made.__dict__["filters"])
    filters.update(
        {
            "ago": ago,
            "duration": duration,
            "instant": instant,
            "iso": rfc3339,
            "clock": clock,
            "number": number,
            "counted": said_count,
            "json": json_text,
            "word_class": word_class,
            "plain": plain_words,
        }
    )
    names = cast("dict[str, Any]", made.__dict__["globals"])
    names.update(
        {
            "glyph_of": glyph_of,
            "now": lambda: datetime.now(UTC),
            "act_title": act_title,
            "act_verb": act_verb,
            "act_row": act_row,
            "needs_form": needs_form,
            "target_path": target_path,
        }
    )
    return made


def fill(template: str, context: Mapping[str, Any]) -> str:
    """The page that a template makes."""
    return environment().get_template(template).render(context)


def clock(at: datetime) -> str:
    """The time of day in UTC, to the second.

    >>> clock(datetime(2026, 11, 28, 3, 14, 22, tzinfo=UTC))
    '03:14:22'
    """
    return at.astimezone(UTC).strftime("%H:%M:%S")


def number(value: float) -> str:
    """A number with its thousands apart.

    >>> number(10000), number(3), number(2.5)
    ('10,000', '3', '2.5')
    """
    return f"{value:,}"


def said_count(value: int, noun: str, plural: str = "") -> str:
    """A number of things, its thousands apart.

    >>> said_count(1, "step"), said_count(1206, "step")
    ('1 step', '1,206 steps')
    """
    return counted(value, noun, plural).replace(str(value), number(value), 1)


def json_text(value: Any) -> str:
    """A value as indented JSON, its keys in their order; the host's numbers are of any size, and stay as they are.

    >>> print(json_text({"order": 2**60}))
    {
      "order": 1152921504606846976
    }
    """
    return json.dumps(value, indent=2, ensure_ascii=False, default=to_json)


def word_class(word: str) -> str:
    """The class of a word: ``needs-review``."""
    return word.lower().replace(" ", "-").replace("_", "-")


def plain_words(name: str) -> str:
    """A name of the database's in words: ``failing_jobs`` -> ``failing jobs``."""
    return name.replace("_", " ")


def glyph_of(word: str, state: str = "") -> str:
    """The glyph of a word, told from all others by its silhouette."""
    if isinstance(word, Enum):
        word = str(word.value)
    if glyph := _GLYPH_OF_WORD.get(word):
        return glyph
    return state_glyph(OperatorStatus(word), state) if word in _OPERATOR_WORDS else "unknown"
