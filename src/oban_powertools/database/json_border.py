"""Convert Python values to JSON and back, and refuse what cannot be stored, with the path of each fault.

Used wherever a Python value becomes jsonb. It never changes a value: one that PostgreSQL or another language would
read back differently is refused, with a hint. The rule that must never break: a value is read back as it was stored,
or it was refused (property/P15).
"""

import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import CoroutineType
from typing import Any, Final, cast

import orjson
from oban import Job

from ..errors import Fault, UnstorableValueError

MAX_DEPTH: Final = 200
"""Levels of nesting; orjson and PostgreSQL's parser both have limits not far above."""

MAX_INTEGER: Final = 2**63 - 1

_HINTS: Final[tuple[tuple[type, str], ...]] = (
    (Job, "add it as a step, and pass that step's result"),
    (CoroutineType, "await it first"),
    (Enum, "pass value.value"),
    (PurePath, "pass str(value)"),
    (dt.datetime, "pass value.isoformat()"),
    (dt.date, "pass value.isoformat()"),
    (dt.time, "pass value.isoformat()"),
    (dt.timedelta, "pass value.total_seconds()"),
    (Decimal, "pass str(value)"),
    (uuid.UUID, "pass str(value)"),
    (bytes, "pass base64 text"),
    (tuple, "pass list(value)"),
    (set, "pass sorted(value)"),
    (frozenset, "pass sorted(value)"),
    (str, "pass str(value)"),
    (int, "pass int(value)"),
    (float, "pass float(value)"),
    (Mapping, "pass dict(value)"),
    (Sequence, "pass list(value)"),
    (Iterator, "pass list(value)"),
)
"""Type -> what to pass instead; the first one counts."""

_DUCKS: Final = (
    ("model_dump", 'pass value.model_dump(mode="json")'),
    ("__dataclass_fields__", "pass dataclasses.asdict(value)"),
    ("__attrs_attrs__", "pass attrs.asdict(value)"),
    ("tolist", "pass value.tolist()"),
)
"""Attribute of a type -> what to pass instead."""


_NUMBER: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?')
"""A string, which is passed over, or a number."""

_MINUS_ZERO: Final = "-1e-400"
"""PostgreSQL keeps no sign of a zero; this is so near to zero that who reads it as a double gets -0.0. SQL casts it to
numeric, not to double precision."""


def dumps(value: Any) -> str:
    """Write a checked value as compact JSON text."""
    return exact(orjson.dumps(value).decode())


def exact(text: str) -> str:
    """JSON text in a form whose numbers PostgreSQL stores with their value and kind.

    1e+16 would be read back as an integer, and -0.0 without its sign.
    """
    # Few texts contain either; searching a page of plain JSON for both takes a microsecond.
    if "e+" not in text and "-0.0" not in text:
        return text
    return _NUMBER.sub(_exact_number, text)


def _exact_number(match: re.Match[str]) -> str:
    number = match[0]
    if number == "-0.0":
        return _MINUS_ZERO
    return f"{Decimal(number):f}.0" if "e+" in number and number[0] != '"' else number


def loads(text: str | bytes) -> Any:
    """Read JSON text; integers above 64 bits become floats."""
    return orjson.loads(text)


def read_json(text: str | bytes) -> Any:
    """Parse a JSON document that somebody typed or sent; nothing in it is changed or lost silently.

    Raises:
        ValueError: It is not JSON (``json.JSONDecodeError``), or holds what cannot be kept as it is.
    """
    try:
        return json.loads(text, parse_float=_float, parse_constant=_no_number, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number) or (number == 0 and re.match(r"[-0.]*[1-9]", text)):
        message = f"the number {text[:40]} is beyond what a float holds; pass it as text"
        raise ValueError(message)
    return number


def _no_number(text: str) -> Any:
    message = f"{text} is not a JSON number"
    raise ValueError(message)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        message = "a key stands twice in one object"
        raise ValueError(message)
    return mapping


def find_faults(value: Any, path: str, leaf: Callable[[Any, str], bool] | None = None) -> list[Fault]:
    """Find everything in ``value`` that is not JSON-safe, each with its path; empty when all is well.

    Args:
        path: The value's name: ``args`` leads to ``args.items[3].at``.
        leaf: Called first at each value; True accepts the value as it is (a result reference).
    """
    return [] if _plainly_safe(value, 0) else list(_walk(value, path, leaf, 0))


def _plainly_safe(value: Any, depth: int) -> bool:
    # Most values are safe; checking that costs a tenth of finding where one is not.
    kind = cast("object", type(value))
    if kind is str:
        return value.isascii() and "\0" not in value
    if kind is int:
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if depth == MAX_DEPTH:
        return False
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or "\0" in key or not _plainly_safe(item, depth + 1):
                return False
        return True
    if kind is list:
        return all(_plainly_safe(item, depth + 1) for item in value)
    return value is None or kind is bool or (kind is float and math.isfinite(value))


def too_large(path: str, size: int, limit: int) -> list[Fault]:
    """The fault of a value above its size limit; sizes are bytes of JSON."""
    message = f"{size} bytes of JSON, at most {limit} are allowed; store it elsewhere and pass where"
    return [Fault(code="payload_too_large", path=path, message=message)]


def check_payload(subject: str, value: Any, limit: int, *, path: str = "payload") -> str:
    """Refuse what cannot be stored as it is.

    Args:
        limit: Bytes of JSON.

    Returns:
        It as JSON text, as ``dumps`` writes it.

    Raises:
        UnstorableValueError: Names every fault with its path.
    """
    if faults := find_faults(value, path):
        raise UnstorableValueError(subject, faults)
    text = dumps(value)
    if (size := size_of(text)) > limit:
        raise UnstorableValueError(subject, too_large(path, size, limit))
    return text


def size_of(text: str) -> int:
    """Bytes of a text."""
    return len(text) if text.isascii() else len(text.encode())


def _walk(value: Any, path: str, leaf: Callable[[Any, str], bool] | None, depth: int) -> Iterator[Fault]:
    if leaf is not None and leaf(value, path):
        return
    kind = cast("object", type(value))
    if kind is str:
        yield from _text_faults(value, path)
    elif value is None or kind is bool:
        return
    elif kind is int:
        if abs(value) > MAX_INTEGER:
            yield _fault(path, f"the integer has more than 64 bits, found {value.bit_length()}; pass it as text")
    elif kind is float:
        if not math.isfinite(value):
            yield _fault(path, f"{value!r} is not a JSON number")
    elif depth >= MAX_DEPTH:
        yield _fault(path, f"nested deeper than {MAX_DEPTH} levels")
    elif kind is dict:
        for key, item in value.items():
            yield from _key_faults(key, path)
            yield from _walk(item, f"{path}.{key}", leaf, depth + 1)
    elif kind is list:
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]", leaf, depth + 1)
    else:
        yield _fault(path, f"{_kind_name(value)} is not JSON-safe; {_hint(value)}")


def _key_faults(key: Any, path: str) -> Iterator[Fault]:
    if type(key) is not str:
        yield _fault(path, f"key {key!r} is {_kind_name(key)}; JSON keys are text")
    else:
        yield from _text_faults(key, path)


def _text_faults(text: str, path: str) -> Iterator[Fault]:
    if text.isascii():
        if "\0" in text:
            yield _fault(path, "the text holds a NUL character, which PostgreSQL cannot store")
        return
    if "\0" in text:
        yield _fault(path, "the text holds a NUL character, which PostgreSQL cannot store")
    try:
        text.encode()
    except UnicodeEncodeError:
        yield _fault(path, "the text holds a lone surrogate, which is not valid Unicode")


def _fault(path: str, message: str) -> Fault:
    return Fault(code="non_serializable", path=path, message=message)


def _kind_name(value: Any) -> str:
    return type(value).__qualname__


def _hint(value: Any) -> str:
    kind = cast("type[object]", type(value))
    own: str | None = getattr(kind, "__in_json__", None)
    if own is not None:
        return own
    for known, hint in _HINTS:
        if issubclass(kind, known):
            return hint
    for attribute, hint in _DUCKS:
        if hasattr(kind, attribute):
            return hint
    return "pass text, numbers, true, false, null, lists or dicts with text keys"


def storable(value: Any) -> Any:
    """A JSON-safe value with all its texts, keys too, as ``storable_text``: for what is written down in any case."""
    match value:
        case str():
            return storable_text(value)
        case dict():
            items = cast("dict[str, Any]", value).items()
            return {storable_text(key): storable(item) for key, item in items}
        case list() | tuple():
            return [storable(item) for item in cast("list[Any]", value)]
        case _:
            return value


def storable_text(text: str) -> str:
    """Text as PostgreSQL can store it: NUL and lone surrogates become visible escapes."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode()
