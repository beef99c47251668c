"""What may be shown and kept of values that come from the users' own code.

The rule that must never break: a policy that fails shows nothing (S8).
"""

import hashlib
import logging
import re
from enum import StrEnum
from typing import Any, Final, cast

import orjson

logger = logging.getLogger(__name__)

REDACTED: Final = "[redacted]"
LONGEST_TEXT: Final = 500
"""Characters of a text that are shown."""

_DEEPEST: Final = 20
_MOST_ITEMS: Final = 200
_SECRET_KEY: Final = re.compile(
    r"pass(word|wd|phrase|code)|^pwd$|^pin$|secret|token|(api|private|access|signing)[_-]?key|authorization|credential"
    r"|cookie|^auth$|^dsn$|card[_-]?number|^cvv$|^iban$|^ssn$",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = (
    (re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {REDACTED}"),
    (
        re.compile(
            r"(?i)([\w-]*(?:pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|credential|authorization)[\w-]*[\"']?\s*[=:]\s*)"
            r"(\"[^\"]*\"|'[^']*'|[^\s,;&)}\]]+)"
        ),
        rf"\1{REDACTED}",
    ),
    # What is made by machines to be unguessable: JWTs, keys with a prefix, long runs of letters and digits.
    (
        re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|\b(?:sk|pk|rk|ghp|gho|xox[a-z])[_-][\w-]{10,}|\bAKIA[A-Z0-9]{12,}"),
        REDACTED,
    ),
    (re.compile(r"\b(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}\b"), REDACTED),
)


class Kind(StrEnum):
    """Where a value comes from."""

    ARGS = "args"
    RESULT = "result"
    PAYLOAD = "payload"
    CONTEXT = "context"
    ERROR = "error"
    REASON = "reason"
    STATE = "state"
    DETAILS = "details"


class DisplayPolicy:
    """Decides what is shown of a value; ``Powertools(oban, display=...)`` takes one of your own.

    A subclass overrides ``show``. ``render`` is what everything calls.
    """

    def render(self, kind: Kind, value: Any) -> Any:
        """The value as it may be shown and kept; ``"[redacted]"`` when the policy fails.

        Args:
            value: JSON-safe.
        """
        try:
            return self.show(kind, value)
        except Exception:  # noqa: BLE001 - whatever a host's policy raises
            # Without its traceback: that could hold what must not be shown.
            logger.error("the display policy failed for a value of kind %s", kind)
            return REDACTED

    def show(self, kind: Kind, value: Any) -> Any:  # noqa: ARG002 - for policies that tell kinds apart
        """What this policy decides: values whose key looks secret and secrets in texts are hidden, long texts cut."""
        return _shown(value, 0)


def shown_text(text: str) -> str:
    """A text without what looks like a secret, cut to ``LONGEST_TEXT`` characters.

    >>> shown_text("cannot reach postgresql://app:hunter2@db/app, api_key=42")
    'cannot reach postgresql://[redacted]@db/app, api_key=[redacted]'
    """
    for pattern, put in _SECRET_TEXT:
        text = pattern.sub(put, text)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def fingerprint(value: Any) -> dict[str, Any]:
    """What is kept of a payload where the payload itself must not be: its hash and its shape.

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


def _shown(value: Any, depth: int) -> Any:
    if depth == _DEEPEST:
        return REDACTED
    match value:
        case str():
            return shown_text(value)
        case dict():
            items = list(cast("dict[str, Any]", value).items())[:_MOST_ITEMS]
            return {
                shown_text(key): REDACTED if item is not None and _SECRET_KEY.search(key) else _shown(item, depth + 1)
                for key, item in items
            }
        case list():
            return [_shown(item, depth + 1) for item in cast("list[Any]", value)[:_MOST_ITEMS]]
        case _:
            return value
