"""The display policy: what may be shown and stored of values from the users' own code. Every door asks it.

The rule that must never break: a policy that fails shows nothing (security/S8).
"""

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, cast

import orjson

from .logs import find_logger
from .redaction import REDACTED, redacted
from .urls import masked_url

logger: Final = find_logger(__name__)

__all__ = ["DisplayPolicy", "Kind"]

LONGEST_TEXT: Final = 500
"""Characters of a text that are shown."""

LONGEST_ERROR: Final = 4000
"""Characters of an error that are shown: its beginning, and three times as much of its end."""

_DEEPEST: Final = 20
_MOST_ITEMS: Final = 200
_SECRET_KEY: Final = re.compile(
    r"pass(word|wd|phrase|code)|^pwd$|^pin$|secret|token|(api|private|access|signing)[_-]?key|authorization|credential"
    r"|cookie|^auth$|^dsn$|card[_-]?number|^cvv$|^iban$|^ssn$",
    re.IGNORECASE,
)


class Kind(StrEnum):
    """The origin of a value."""

    ARGS = "args"
    RESULT = "result"
    PAYLOAD = "payload"
    CONTEXT = "context"
    ERROR = "error"
    REASON = "reason"
    STATE = "state"
    DETAILS = "details"
    URL = "url"


class DisplayPolicy:
    """Decides what is shown of a value; ``Powertools(oban, display=...)`` takes one of your own.

    A subclass overrides ``show`` and ``may_reveal``; the doors call ``render`` and ``render_text``, and what reveals a
    value ``allows_reveal``.
    """

    def render(self, kind: Kind, value: Any) -> Any:
        """The value as it may be shown and stored; ``"[redacted]"`` when the policy fails, or returns no JSON.

        Args:
            value: JSON-safe.
        """
        try:
            rendered = self.show(kind, value)
        except Exception as error:  # noqa: BLE001 - whatever a host's policy raises
            # Without its message and traceback, which could contain the secret.
            return self._failed(kind, type(error).__name__)
        return (
            rendered if _is_plain(rendered, 0) else self._failed(kind, f"a {type(rendered).__name__} that is no JSON")
        )

    def render_text(self, kind: Kind, text: str) -> str:
        """As ``render``, for places that take only text."""
        rendered = self.render(kind, text)
        return rendered if isinstance(rendered, str) else REDACTED

    def show(self, kind: Kind, value: Any) -> Any:
        """Hide values whose key looks secret and secrets in texts, cut long texts, and of a URL show where it leads."""
        if kind is Kind.URL and isinstance(value, str):
            return masked_url(value)
        return _shorten(value, LONGEST_ERROR if kind is Kind.ERROR else LONGEST_TEXT, 0)

    def allows_reveal(self, kind: Kind, value: Any) -> bool:
        """Whether an operator who may, and says why, may see the value as it is; not when the policy fails.

        Args:
            value: As it is stored.
        """
        try:
            return self.may_reveal(kind, value) is True
        except Exception as error:  # noqa: BLE001 - whatever a host's policy raises
            self._failed(kind, type(error).__name__)
            return False

    def may_reveal(self, kind: Kind, value: Any) -> bool:  # noqa: ARG002 - for those who override it
        """Whether a value may be revealed at all, to whomever the host's authorization allows it; only True says so."""
        return True

    def _failed(self, kind: Kind, fault: str) -> str:
        logger.error("the display policy %s failed for a value of kind %s: %s", type(self).__name__, kind, fault)
        return REDACTED


def shown_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text without what looks like a secret, cut to so many characters.

    An error keeps its beginning and three times as much of its end, where the exception is named.

    >>> shown_text("password=hunter2"), shown_text("one two three", 6)
    ('password=[redacted]', 'one t…')
    """
    text = redacted(text)
    if len(text) <= longest:
        return text
    if longest == LONGEST_ERROR:
        return f"{text[: longest // 4 - 5]}\n  …\n{text[-longest // 4 * 3 :]}"
    return f"{text[: longest - 1]}…"


def fingerprint(value: Any) -> dict[str, Any]:
    """The hash and the shape of a payload, for places where the payload itself must not be stored.

    >>> sorted(fingerprint({"total": 30}).items())[0]
    ('bytes', 12)
    """
    written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return {"sha256": hashlib.sha256(written).hexdigest(), "bytes": len(written), "shape": _shape(value)}


def _shape(value: Any) -> str:
    match value:
        case dict():
            return f"object of {len(cast('dict[str, Any]', value))}"
        case list():
            return f"array of {len(cast('list[Any]', value))}"
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case _:
            return "text"


def _shorten(value: Any, longest: int, depth: int) -> Any:
    if depth == _DEEPEST:
        return REDACTED
    match value:
        case str():
            return shown_text(value, longest)
        case dict():
            items = list(cast("dict[str, Any]", value).items())[:_MOST_ITEMS]
            return {
                shown_text(key): REDACTED
                if item is not None and _SECRET_KEY.search(key)
                else _shorten(item, longest, depth + 1)
                for key, item in items
            }
        case list():
            return [_shorten(item, longest, depth + 1) for item in cast("list[Any]", value)[:_MOST_ITEMS]]
        case _:
            return value


def _is_plain(value: Any, depth: int) -> bool:
    match value:
        case None | str() | int() | float() | datetime():
            return True
        case dict() if depth < 200:
            return all(
                isinstance(key, str) and _is_plain(item, depth + 1)
                for key, item in cast("dict[object, Any]", value).items()
            )
        case list() if depth < 200:
            return all(_is_plain(item, depth + 1) for item in cast("list[Any]", value))
        case _:
            return False
