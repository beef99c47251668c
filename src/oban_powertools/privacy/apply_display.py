"""Apply the display policy to records that people read: explanations, events, the command line, the console.

Not for data that the application reads for itself, such as ``workflows.results``. The rule that must never break: only
``FIELDS`` says which fields of records hold what users wrote.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, cast

from .display import DisplayPolicy, Kind
from .redaction import REDACTED

FIELDS: Final[Mapping[str, Kind]] = {
    "args": Kind.ARGS,
    "meta": Kind.ARGS,
    "result": Kind.RESULT,
    "payload": Kind.PAYLOAD,
    "context": Kind.CONTEXT,
    "error": Kind.ERROR,
    # Sentences that quote errors.
    "summary": Kind.ERROR,
    "found": Kind.ERROR,
    "reason": Kind.REASON,
    "hold_reason": Kind.REASON,
    "disabled_reason": Kind.REASON,
    "detail": Kind.DETAILS,
    "details": Kind.DETAILS,
    "description": Kind.DETAILS,
    "message": Kind.DETAILS,
    "url": Kind.URL,
}
"""Field of a record -> the kind of its value. Names, tags, keys and ids are shown unchanged: people search by them."""

_SAID: Final = ("error", "class", "text")
"""The texts of an error, beside its attempt and its instant."""

_JSON: Final = frozenset({Kind.ARGS, Kind.RESULT, Kind.PAYLOAD, Kind.CONTEXT})


def apply_display[T](display: DisplayPolicy, record: T) -> T:
    """Return a record, and the records in it, as the policy shows them; other values stay unchanged."""
    if isinstance(record, tuple):
        parts = cast("tuple[Any, ...]", record)
        return cast("T", tuple(apply_display(display, part) for part in parts))
    if not is_dataclass(record) or isinstance(record, type):
        return record
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    changed = {name: _field(display, name, value) for name, value in values.items() if value is not None}
    return cast("T", replace(cast("Any", record), **changed))


def apply_display_to_result(display: DisplayPolicy, result: Any) -> Any:
    """Return a result as the policy shows it; None stays None."""
    return None if result is None else display.render(Kind.RESULT, result)


def _field(display: DisplayPolicy, name: str, value: Any) -> Any:
    kind = FIELDS.get(name)
    if kind is None:
        return apply_display(display, value)
    if kind in _JSON:
        return display.render(kind, value)
    if isinstance(value, str):
        return display.render_text(kind, value)
    if not isinstance(value, Mapping):
        return REDACTED
    values = cast("Mapping[str, Any]", value)
    if kind is Kind.ERROR:
        return {**values, **{part: display.render(kind, values.get(part)) for part in _SAID if part in values}}
    rendered = display.render(kind, dict(values))
    return cast("Mapping[str, Any]", rendered) if isinstance(rendered, dict) else dict.fromkeys(values, REDACTED)
