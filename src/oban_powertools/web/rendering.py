"""The templates, and the filters with which they say times, numbers and JSON.

The rule that must never break: a filter returns text, which the template escapes; nothing here makes markup.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..graph.glyphs import state_glyph
from ..plural import counted
from ..privacy.urls import masked_url
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
    IncidentStatus.MUTED: "muted",
}
"""Words of other things than steps and workflows, whose glyphs graphs draw."""

HIDDEN: Final = "a hidden address"

COUNTED: Final = 10_000
"""Where the core's counts end."""

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
    filters = cast("dict[str, Callable[..., Any]]", made.__dict__["filters"])
    filters.update(
        {
            "ago": ago,
            "duration": duration,
            "age": age,
            "instant": instant,
            "iso": rfc3339,
            "clock": clock,
            "number": number,
            "counted": said_count,
            "capped": capped,
            "size": size,
            "host": host,
            "pieces": pieces,
            "json": json_text,
            "word_class": word_class,
            "plain": plain_words,
            "capital": capital,
            "act_verb": act_verb,
            "after": after,
            "shape": shape,
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


def age(span: timedelta) -> str:
    """A duration in whole seconds, for what is said again every few seconds.

    >>> age(timedelta(seconds=8.7)), age(timedelta(seconds=0.2)), age(timedelta(minutes=3, seconds=2.5))
    ('9 s', '0 s', '3 min 2 s')
    """
    seconds = round(span.total_seconds())
    return f"{seconds} s" if seconds < 60 else duration(timedelta(seconds=seconds))


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


def capped(value: int) -> str:
    """A number that is counted no further than the core counts.

    >>> capped(3), capped(10_000), capped(10_001)
    ('3', '10,000+', '10,000+')
    """
    return f"{COUNTED:,}+" if value >= COUNTED else f"{value:,}"


def size(value: int) -> str:
    """Bytes in the unit that fits.

    >>> size(512), size(73_728), size(5 * 2**30)
    ('512 B', '72 KiB', '5.0 GiB')
    """
    units = ((2**30, "GiB", 1), (2**20, "MiB", 1), (2**10, "KiB", 0))
    return next((f"{value / of:.{digits}f} {unit}" for of, unit, digits in units if value >= of), f"{value} B")


def host(url: str) -> str:
    """An address without what follows its host, which only whoever may write there knows.

    >>> host("https://hooks.example/services/TEAM/secret"), host("[hidden]")
    ('https://hooks.example/…', 'a hidden address')
    """
    try:
        return masked_url(url) if urlsplit(url).hostname else HIDDEN
    except ValueError:
        # what the display policy left of it is no address any more
        return HIDDEN


def pieces(text: object) -> list[str]:
    """A path, a name or an id in the pieces behind which it may break.

    >>> pieces("shop.workers.Pack"), pieces("41/send_mail")
    (['shop.', 'workers.', 'Pack'], ['41/', 'send_', 'mail'])

    One that is longer than a column is cut, so that a table is never wider than its page.

    >>> pieces("a" * 30 + ".b")
    ['aaaaaaaaaaaaaaaaaaaaaaaa', 'aaaaaa.', 'b']
    """
    return re.findall(r"[^._/:]{0,24}[._/:]{1,24}|[^._/:]{1,24}", str(text))


def after(sentence: str, subject: str) -> str:
    """A sentence without its subject, which stands before it already.

    >>> after("mail is running", "mail"), after("job 7 is running", "mail")
    ('is running', 'job 7 is running')
    """
    return sentence.removeprefix(f"{subject} ") if subject else sentence


def shape(value: Any) -> str:
    """What kind of value it is, and how much of it, for what is folded.

    >>> shape({"order": 7}), shape([1, 2]), shape("a"), shape(None)
    ('1 key', '2 items', '1 character', 'null')
    """
    match value:
        case dict():
            return counted(len(cast("dict[Any, Any]", value)), "key")
        case list():
            return counted(len(cast("list[Any]", value)), "item")
        case str():
            return counted(len(value), "character")
        case _:
            return json.dumps(value, default=to_json)


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


def capital(sentence: str) -> str:
    """A sentence with a capital letter; the rest stays as it is.

    >>> capital("executor on app-7 is gone"), capital("")
    ('Executor on app-7 is gone', '')
    """
    return sentence[:1].upper() + sentence[1:]


def glyph_of(word: str, state: str = "") -> str:
    """The glyph of a word, told from all others by its silhouette."""
    if isinstance(word, Enum):
        word = str(word.value)
    if glyph := _GLYPH_OF_WORD.get(word):
        return glyph
    return state_glyph(OperatorStatus(word), state) if word in _OPERATOR_WORDS else "unknown"
