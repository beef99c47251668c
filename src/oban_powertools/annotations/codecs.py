"""Find the codec of an annotation, once, when a worker is defined.

The rule that must never break: an annotation without a codec is refused when it is read, never guessed.
"""
# pyright: reportUnknownArgumentType=false

import dataclasses
import enum
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import (
    Any,
    Final,
    Literal,
    Never,
    NewType,
    NoReturn,
    TypeAliasType,
    TypeVar,
    Union,
    get_args,
    get_origin,
    override,
)

from .codec import ANYTHING, Codec
from .containers import Either, Field, Fixed, Keys, Pairs, Record, Several
from .models import Model, is_described_by_pydantic
from .scalars import SCALARS, Flags, OneOf

_SEQUENCES: Final = (abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
_MAPPINGS: Final = (abc.Mapping, abc.MutableMapping)
_QUALIFIERS: Final = ("Required", "NotRequired", "ReadOnly")
_SUPPORTED: Final = (
    "use a dataclass, a TypedDict, a Pydantic model, an Enum, a Literal, datetime, date, time, timedelta, UUID, "
    "Decimal, text, numbers, or lists, tuples, sets and dicts of these"
)
_INSTEAD: Final[Sequence[tuple[type, str]]] = (
    (bytes, "pass base64 text"),
    (bytearray, "pass base64 text"),
    (PurePath, "pass str(path)"),
    (complex, "pass its parts"),
)


class UnsupportedError(Exception):
    """An annotation has no codec; its text says what to use."""

    def __init__(self, annotation: Any, instead: str = _SUPPORTED) -> None:
        name = annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
        super().__init__(name, instead)
        self.annotation = name
        self.advice = instead


def find_codec(annotation: Any) -> Codec:
    """The codec of an annotation, as ``typing.get_type_hints`` returns it with extras.

    Raises:
        UnsupportedError: There is none.
        NameError: A name in the annotations of a class cannot be found when the program runs.
    """
    return _Search().find(annotation, {})


class _Search:
    """Finds the codecs of one annotation; a class that contains itself is met once."""

    def __init__(self) -> None:
        self._met: dict[Any, Codec] = {}

    def find(self, annotation: Any, values: Mapping[Any, Any]) -> Codec:
        """The codec; ``values`` are those of type parameters."""
        if annotation in (Any, object, Never, NoReturn):
            return ANYTHING
        if isinstance(annotation, TypeVar):
            if annotation not in values:
                raise UnsupportedError(annotation, "write the type itself")
            return self.find(values[annotation], {})
        origin, args = get_origin(annotation), get_args(annotation)
        if origin is not None:
            return self._of_generic(annotation, origin, args, values)
        if annotation in SCALARS:
            return SCALARS[annotation]
        if isinstance(annotation, NewType):
            return self.find(annotation.__supertype__, values)
        if isinstance(annotation, TypeAliasType):
            return self._once(annotation, lambda later: later.become(self.find(annotation.__value__, values)))
        return self._of_class(annotation, annotation, values)

    def _of_generic(self, annotation: Any, origin: Any, args: tuple[Any, ...], values: Mapping[Any, Any]) -> Codec:
        if origin is typing.Annotated:
            if is_described_by_pydantic(args[0], args[1:]):
                return Model(annotation, None, find_codec)
            return self.find(args[0], values)
        if origin is Union or origin is types.UnionType:
            return Either([self.find(arg, values) for arg in args])
        if origin is Literal:
            return _literal(args)
        if getattr(origin, "__name__", "") in _QUALIFIERS and origin.__module__ in ("typing", "typing_extensions"):
            return self.find(args[0], values)
        if origin is tuple and not (len(args) == 2 and args[1] is ...):
            return Fixed([self.find(arg, values) for arg in args])
        given = [values.get(arg, arg) if isinstance(arg, TypeVar) else arg for arg in args]
        if isinstance(origin, TypeAliasType):
            inner = dict(zip(origin.__type_params__, given, strict=False))
            return self._once(annotation, lambda later: later.become(self.find(origin.__value__, inner)))
        collection = self._of_collection(origin, given, values)
        if collection is not None:
            return collection
        parameters: Sequence[Any] = getattr(origin, "__parameters__", ())
        return self._of_class(annotation, origin, dict(zip(parameters, given, strict=False)))

    def _of_collection(self, origin: Any, args: Sequence[Any], values: Mapping[Any, Any]) -> Codec | None:
        def part(index: int) -> Codec:
            return self.find(args[index], values) if index < len(args) else ANYTHING

        if origin is list:
            return Several(part(0), (list,), list)
        if origin in _SEQUENCES:
            return Several(part(0), (list, tuple), list)
        if origin in (set, frozenset):
            return Several(part(0), (origin,), origin)
        if origin is abc.Set:
            return Several(part(0), (set, frozenset), frozenset)
        if origin is tuple:
            return Several(part(0), (tuple,), tuple)
        if origin is dict or origin in _MAPPINGS:
            return Pairs(part(0), part(1), (dict,) if origin is dict else (abc.Mapping,))
        return None

    def _of_class(self, annotation: Any, kind: Any, values: Mapping[Any, Any]) -> Codec:
        if not isinstance(kind, type):
            raise UnsupportedError(annotation)
        collection = self._of_collection(kind, (), values)
        if collection is not None:
            return collection
        if is_described_by_pydantic(kind, ()):
            return Model(annotation, kind, find_codec)
        if issubclass(kind, enum.Flag):
            return Flags(kind)
        if issubclass(kind, enum.Enum):
            return _enum(kind)
        if hasattr(kind, "__required_keys__"):
            return self._once(annotation, lambda later: later.become(Keys(self._keys(kind, values), _name(kind))))
        if dataclasses.is_dataclass(kind):
            return self._once(
                annotation, lambda later: later.become(Record(kind, self._fields(kind, values), _name(kind)))
            )
        raise UnsupportedError(annotation, next((hint for of, hint in _INSTEAD if issubclass(kind, of)), _SUPPORTED))

    def _once(self, annotation: Any, define: Callable[["_Later"], None]) -> Codec:
        if annotation not in self._met:
            later = self._met[annotation] = _Later()
            define(later)
            self._met[annotation] = later.codec
        return self._met[annotation]

    def _fields(self, kind: Any, values: Mapping[Any, Any]) -> dict[str, Field]:
        hints = typing.get_type_hints(kind, include_extras=True)
        return {
            field.name: Field(self.find(hints[field.name], values), not _has_default(field))
            for field in dataclasses.fields(kind)
            if field.init
        }

    def _keys(self, kind: Any, values: Mapping[Any, Any]) -> dict[str, Field]:
        hints = typing.get_type_hints(kind, include_extras=True)
        return {
            name: Field(self.find(hint, values), name in kind.__required_keys__ and not _is_not_required(hint))
            for name, hint in hints.items()
        }


class _Later(Codec):
    """Stands for the codec of a class while the codecs of its own fields are found."""

    def __init__(self) -> None:
        super().__init__()
        self.codec: Codec = ANYTHING

    @property
    @override
    def expected(self) -> str:
        return self.codec.expected

    def become(self, codec: Codec) -> None:
        """Stand for this one."""
        self.codec = codec

    @override
    def _encode(self, value: Any, path: str, faults: list[Any]) -> Any:
        return self.codec.encode(value, path, faults)

    @override
    def decode(self, value: Any, path: str, faults: list[Any]) -> Any:
        return self.codec.decode(value, path, faults)

    @override
    def attributes(self) -> Mapping[str, Codec]:
        return self.codec.attributes()

    @override
    def item(self, key: str | int) -> Codec:
        return self.codec.item(key)


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _is_not_required(hint: Any) -> bool:
    return getattr(get_origin(hint), "__name__", "") == "NotRequired"


def _name(kind: type) -> str:
    return f"a {kind.__qualname__.rpartition('.')[2]}"


def _literal(args: Sequence[Any]) -> Codec:
    values = [(arg, arg.value if isinstance(arg, enum.Enum) else arg) for arg in args]
    if any(isinstance(json, bytes) for _, json in values):
        raise UnsupportedError(bytes, "pass base64 text")
    return OneOf(values)


def _enum(kind: type[enum.Enum]) -> Codec:
    values = [(member, member.value) for member in kind]
    if any(not isinstance(value, str | int | float | None) for _, value in values):
        raise UnsupportedError(kind, "give its members text or numbers as values")
    return OneOf([(member, _plain(value)) for member, value in values])


def _plain(value: Any) -> Any:
    return str.__str__(value) if isinstance(value, str) else value
