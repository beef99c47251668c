"""Lists, tuples, sets, dicts, records with named fields, and unions."""
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, override

import orjson

from ..errors import Fault
from .codec import ANYTHING, Codec, Placeholder, describe_kind, mismatch


class Several(Codec):
    """Any number of values of one type: a list, or what is made of one.

    Args:
        kinds: What is accepted.
        make: Makes the collection of a list that was read.
    """

    def __init__(self, of: Codec, kinds: tuple[type, ...], make: Callable[[list[Any]], Any]) -> None:
        self._of = of
        self._kinds = kinds
        self._make = make
        self._is_plain = type(of) is Codec
        self._is_set = kinds[0] in (set, frozenset)
        super().__init__(f"a {kinds[0].__name__}")

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if not isinstance(value, self._kinds):
            return self._refuse(value, path, faults)
        if self._is_plain and type(value) is list:
            return value
        before = len(faults)
        items = [self._of.encode(item, f"{path}[{index}]", faults) for index, item in enumerate(value)]
        # In one order, so that equal args have one text.
        return sorted(items, key=_text) if self._is_set and len(faults) == before else items

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not list:
            return self._refuse(value, path, faults)
        if self._is_plain:
            return self._make(value)
        before = len(faults)
        items = [self._of.decode(item, f"{path}[{index}]", faults) for index, item in enumerate(value)]
        return self._make(items) if len(faults) == before else None

    @override
    def item(self, key: str | int) -> Codec:
        return self._of if isinstance(key, int) else ANYTHING


class Fixed(Codec):
    """A tuple with a type for each place."""

    def __init__(self, each: Sequence[Codec]) -> None:
        self._each = each
        super().__init__(f"a list of {len(each)}")

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not tuple:
            return self._refuse(value, path, faults, "; pass a tuple")
        if len(value) != len(self._each):
            return self._refuse(value, path, faults, f" of {len(value)}")
        places = enumerate(zip(self._each, value, strict=True))
        return [codec.encode(item, f"{path}[{index}]", faults) for index, (codec, item) in places]

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not list:
            return self._refuse(value, path, faults)
        if len(value) != len(self._each):
            return self._refuse(value, path, faults, f" of {len(value)}")
        places = enumerate(zip(self._each, value, strict=True))
        return tuple([codec.decode(item, f"{path}[{index}]", faults) for index, (codec, item) in places])

    @override
    def item(self, key: str | int) -> Codec:
        return self._each[key] if isinstance(key, int) and 0 <= key < len(self._each) else ANYTHING


class Pairs(Codec):
    """A dict; its keys become text."""

    def __init__(self, keys: Codec, of: Codec, kinds: tuple[type, ...]) -> None:
        super().__init__("a dict")
        self._keys = keys
        self._of = of
        self._kinds = kinds
        self._is_plain = type(of) is Codec and type(keys) is Codec

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if not isinstance(value, self._kinds):
            return self._refuse(value, path, faults)
        if self._is_plain and type(value) is dict:
            return value
        pairs = [
            (self._key(key, path, faults), self._of.encode(of, f"{path}.{key}", faults)) for key, of in value.items()
        ]
        if len(pairs) > len(dict(pairs)):
            faults.append(mismatch(path, "two keys have the same text"))
        return dict(pairs)

    def _key(self, key: Any, path: str, faults: list[Fault]) -> Any:
        before = len(faults)
        text = self._keys.encode(key, f"{path}.{key}", faults)
        if type(text) is not str and len(faults) == before:
            faults.append(
                mismatch(path, f"a key is {describe_kind(key)}; keys of JSON are text: annotate with dict[str, ...]")
            )
        return text

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not dict:
            return self._refuse(value, path, faults)
        if self._is_plain:
            return value
        return {
            self._keys.decode(key, f"{path}.{key}", faults): self._of.decode(of, f"{path}.{key}", faults)
            for key, of in value.items()
        }

    @override
    def item(self, key: str | int) -> Codec:
        return self._of if isinstance(key, str) else ANYTHING


@dataclass(frozen=True, slots=True)
class Field:
    """A named part of a record."""

    codec: Codec
    """Of its value."""

    required: bool
    """Whether JSON must have it."""


class Record(Codec):
    """A dataclass: an object with a key for each field; other keys are passed over when it is read.

    Args:
        kind: The class.
        parts: Those of its fields that ``__init__`` takes, by name; filled in later where the class contains itself.
    """

    def __init__(self, kind: Callable[..., Any], parts: Mapping[str, Field], expected: str) -> None:
        self._kind = kind
        self._parts = parts
        super().__init__(expected)

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not self._kind:
            return self._refuse(value, path, faults)
        return {
            name: part.codec.encode(getattr(value, name), f"{path}.{name}", faults)
            for name, part in self._parts.items()
        }

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not dict:
            return self._refuse(value, path, faults)
        before = len(faults)
        fields = read_parts(self._parts, value, path, faults)
        if len(faults) > before:
            return None
        try:
            return self._kind(**fields)
        except ValueError as error:  # of its __post_init__
            faults.append(mismatch(path, f"{self.expected} refuses it: {error}"))

    @override
    def attributes(self) -> Mapping[str, Codec]:
        return {name: part.codec for name, part in self._parts.items()}


class Keys(Codec):
    """A TypedDict, or the args of a function; keys that it does not name stay as they are.

    Args:
        closed: Whether such keys are refused when it is written.
    """

    def __init__(self, parts: Mapping[str, Field], expected: str, *, closed: bool = False) -> None:
        self._parts = parts
        self._closed = closed
        super().__init__(expected)

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not dict:
            return self._refuse(value, path, faults)
        if self._closed:
            faults += [
                mismatch(f"{path}.{key}", "there is no such parameter") for key in value if key not in self._parts
            ]
        return value | write_parts(self._parts, value, path, faults)

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not dict:
            return self._refuse(value, path, faults)
        return value | read_parts(self._parts, value, path, faults)

    @override
    def item(self, key: str | int) -> Codec:
        return self._parts[key].codec if isinstance(key, str) and key in self._parts else ANYTHING


def write_parts(
    parts: Mapping[str, Field], values: Mapping[str, Any], path: str, faults: list[Fault]
) -> dict[str, Any]:
    """The named values as JSON; those that are missing are left out, or are faults."""
    faults += [_missing(f"{path}.{name}") for name, part in parts.items() if part.required and name not in values]
    return {
        name: part.codec.encode(values[name], f"{path}.{name}", faults)
        for name, part in parts.items()
        if name in values
    }


def read_parts(parts: Mapping[str, Field], values: Mapping[str, Any], path: str, faults: list[Fault]) -> dict[str, Any]:
    """The named values that JSON stands for; as ``write_parts``."""
    faults += [_missing(f"{path}.{name}") for name, part in parts.items() if part.required and name not in values]
    return {
        name: part.codec.decode(values[name], f"{path}.{name}", faults)
        for name, part in parts.items()
        if name in values
    }


def _missing(path: str) -> Fault:
    return mismatch(path, "it is missing")


class Either(Codec):
    """A union: the first member that fits. What another member would read back is refused when it is written."""

    def __init__(self, members: Sequence[Codec]) -> None:
        super().__init__()
        self._members = members

    @property
    @override
    def expected(self) -> str:
        """Found when it is asked for: a member may be a class that is not read whole yet."""
        return " or ".join(member.expected for member in self._members)

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        found = _first(self._members, "encode", value, path)
        if found is None:
            return self._refuse_all("encode", value, path, faults)
        member, json = found
        if not _is_filled(json):  # what a reference will bring is not known yet
            return json
        read = _first(self._members, "decode", json, path)
        if read is None or read[0] is not member:
            other = "nothing" if read is None else read[0].expected
            faults.append(
                mismatch(path, f"{member.expected} would be read back as {other}: tell them apart by a Literal field")
            )
        return json

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        found = _first(self._members, "decode", value, path)
        return self._refuse_all("decode", value, path, faults) if found is None else found[1]

    @override
    def attributes(self) -> Mapping[str, Codec]:
        return self._only.attributes()

    @override
    def item(self, key: str | int) -> Codec:
        return self._only.item(key)

    @property
    def _only(self) -> Codec:
        """The one member that is not null."""
        members = [member for member in self._members if member.expected != "null"]
        return members[0] if len(members) == 1 else ANYTHING

    def _refuse_all(self, way: str, value: Any, path: str, faults: list[Fault]) -> None:
        # Deeper faults say more, where it is plain which member was meant.
        inner: list[list[Fault]] = []
        for member in self._members:
            own: list[Fault] = []
            getattr(member, way)(value, path, own)
            inner.append(own)
        deeper = [own for own in inner if all(fault.path != path for fault in own)]
        if len(deeper) == 1:
            faults += deeper[0]
        else:
            self._refuse(value, path, faults)


def _first(members: Iterable[Codec], way: str, value: Any, path: str) -> tuple[Codec, Any] | None:
    for member in members:
        own: list[Fault] = []
        found = getattr(member, way)(value, path, own)
        if not own:
            return member, found
    return None


def _is_filled(json: Any) -> bool:
    if isinstance(json, dict):
        return all(_is_filled(part) for part in json.values())
    if isinstance(json, list):
        return all(_is_filled(part) for part in json)
    return not isinstance(json, Placeholder)


def _text(json: Any) -> bytes:
    return orjson.dumps(json, default=repr, option=orjson.OPT_SORT_KEYS)
