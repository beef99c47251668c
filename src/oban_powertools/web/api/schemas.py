"""The JSON Schema of a record, from its fields: what ``wire.to_json`` makes of it, with the sentence under each field.

Reads the source of the records, so it runs only where the OpenAPI document is made. The rule that must never break: a
field is described as ``to_json`` writes it.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, NewType, TypeAliasType, Union, cast, get_args, get_origin, get_type_hints

from ...events.types import LogEntry
from ...wire import HOSTS, is_id, is_list_of_ids, key_of

type Schema = dict[str, Any]

_PLAIN: Final[Mapping[Any, Schema]] = {
    Any: {},
    object: {},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "number", "description": "Seconds."},
    NoneType: {"type": "null"},
    dict: {"type": "object"},
}

_TEXT: Final[Schema] = {"type": "string"}


class Schemas:
    """The schemas of records, gathered while they are asked for."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._kinds: dict[str, type] = {}

    def of(self, hint: Any) -> Schema:
        """The schema of a type; a record's is a reference to its component."""
        if hint in _PLAIN:
            return dict(_PLAIN[hint])
        if isinstance(hint, TypeAliasType):
            return self.of(hint.__value__)
        if isinstance(hint, NewType):
            return self.of(hint.__supertype__)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return self._enum(hint)
        if is_dataclass(cast("object", hint)):
            return self._record(cast("type", hint))
        return self._of_parts(get_origin(hint), get_args(hint))

    def of_field(self, name: str, hint: Any) -> Schema:
        """The schema of a value under a name, which says whether it is an id."""
        if name in HOSTS:
            return {}
        if is_id(name):
            return self._with_text_for_numbers(hint)
        if is_list_of_ids(name):
            return {"type": "array", "items": dict(_TEXT)}
        return self.of(hint)

    def _of_parts(self, origin: Any, args: tuple[Any, ...]) -> Schema:
        if origin in (Union, UnionType):
            return _any_of([self.of(one) for one in args])
        if origin is Literal:
            return {"type": "string", "enum": list(args)}
        if origin is not None and issubclass(origin, Mapping | dict):
            inner = self.of(args[1]) if args[1:] else {}
            return {"type": "object", **({"additionalProperties": inner} if inner else {})}
        if origin is not None and issubclass(origin, Sequence):
            return {"type": "array", "items": self.of(args[0])}
        message = f"no schema for {origin} of {args}"
        raise TypeError(message)

    def _with_text_for_numbers(self, hint: Any) -> Schema:
        written = self.of(hint)
        choices = written.get("anyOf", [written])
        return _any_of([dict(_TEXT) if one.get("type") == "integer" else one for one in choices])

    def _enum(self, kind: type[Enum]) -> Schema:
        def make() -> Schema:
            return {"type": "string", "enum": [member.value for member in kind], "description": _first(kind)}

        return self._component(kind, make)

    def _record(self, kind: type[Any]) -> Schema:
        about, logged = _first(kind), kind if issubclass(kind, LogEntry) else None

        def make() -> Schema:
            types, sentences = get_type_hints(kind), _sentences(kind)
            properties: dict[str, Schema] = {}
            if logged is not None:
                properties["type"] = {"type": "string", "const": logged.type}
            for field in fields(cast("Any", kind)):
                hint = types[field.name]
                written = self.of_field(field.name, hint)
                properties[key_of(field.name, hint)] = _described(written, sentences.get(field.name, ""))
            return {
                "type": "object",
                "description": about,
                "properties": properties,
                "required": list(properties),
            }

        return self._component(kind, make)

    def _component(self, kind: type, make: Any) -> Schema:
        name = kind.__name__
        if name not in self._kinds:
            self._kinds[name] = kind
            self.components[name] = make()
        assert self._kinds[name] is kind, f"two records are named {name}"
        return {"$ref": f"#/components/schemas/{name}"}


def _any_of(choices: list[Schema]) -> Schema:
    distinct = [one for place, one in enumerate(choices) if one not in choices[:place]]
    if {} in distinct:
        return {}
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _described(schema: Schema, about: str) -> Schema:
    return {**schema, "description": about} if about else schema


def _first(kind: type) -> str:
    """The first sentence of its docstring."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def _in_json_words(sentence: str) -> str:
    text = " ".join(sentence.replace("``", "`").split())
    return re.sub(r"\b(None|True|False)\b", lambda found: {"None": "null"}.get(found[0], found[0].lower()), text)


@cache
def _sentences(kind: type) -> Mapping[str, str]:
    """Field -> the text under it, of the record and of what it inherits from."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        if not is_dataclass(part):
            continue
        [body] = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(sentence))):
                    found[name] = _in_json_words(sentence)
                case _:
                    pass
    return found
