"""What Pydantic describes: models, its dataclasses, and annotations with its constraints. Imported when one is met."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, override

import orjson

from ..errors import Fault
from .codec import ANYTHING, Codec, mismatch

_PACKAGES = ("pydantic", "pydantic_core", "annotated_types", "pydantic_extra_types")


def is_described_by_pydantic(annotation: Any, metadata: tuple[Any, ...]) -> bool:
    """Whether Pydantic reads this annotation: a class of its own, or one with its constraints."""
    if isinstance(annotation, type) and "__pydantic_validator__" in annotation.__dict__:
        return True
    return any(type(part).__module__.partition(".")[0] in _PACKAGES for part in metadata)


class Model(Codec):
    """A value that Pydantic writes and checks; keys are the names of the fields, aliases are read, too."""

    def __init__(self, annotation: Any, kind: type | None, find: Callable[[Any], Codec]) -> None:
        self._annotation = annotation
        self._kind = kind
        self._find = find
        super().__init__(f"a {kind.__qualname__}" if kind is not None else "a value within its constraints")

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import TypeAdapter

        return TypeAdapter(self._annotation)

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if self._kind is not None and not isinstance(value, self._kind):
            return self._refuse(value, path, faults)
        from pydantic_core import PydanticSerializationError

        try:
            json = self._adapter.dump_python(value, mode="json", by_alias=False, round_trip=True, warnings="error")
        except PydanticSerializationError:
            return self._refuse(value, path, faults, ", of which a part has another type than its field")
        # A model can be changed after it was checked.
        self.decode(json, path, faults)
        return json

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        from pydantic import ValidationError

        try:
            # As JSON, so that a strict model takes text for an instant.
            return self._adapter.validate_json(orjson.dumps(value), by_alias=True, by_name=True)
        except ValidationError as error:
            told = error.errors(include_url=False, include_context=False, include_input=False)
            faults += [mismatch(path + _place(each["loc"]), each["msg"]) for each in told]

    @override
    def attributes(self) -> Mapping[str, Codec]:
        """A field of a type that only Pydantic knows has no parts."""
        fields: Mapping[str, Any] = getattr(self._kind, "__pydantic_fields__", {})
        return {name: self._codec_of(field.annotation) for name, field in fields.items()}

    def _codec_of(self, annotation: Any) -> Codec:
        try:
            return self._find(annotation)
        except Exception:  # noqa: BLE001 - whatever it is, it only has no parts
            return ANYTHING


def _place(loc: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
