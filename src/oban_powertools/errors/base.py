"""The base of every error, with its stable code. It knows no particular error.

An error is declared, not written: its fields are annotations, passed in their order or by name, and its sentence names
them in braces. Both are inherited. A field may have a default. Several texts may be passed as a list;
they are stored as a tuple and printed with commas.
"""

from typing import Any, ClassVar, cast, dataclass_transform, get_origin


@dataclass_transform(eq_default=False)
class PowertoolsError(Exception):
    """The base of every error of this package."""

    code: ClassVar[str] = "powertools_error"
    """Stable name for scripts; it never changes with the wording."""

    sentence: ClassVar[str] = ""
    """What was found, what was expected, what to do."""

    instead: ClassVar[str | tuple[str, ...]] = ()
    """Acts that may be done instead, or the name of the field that has them."""

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._fields += tuple(name for name, kind in cls.__annotations__.items() if get_origin(kind) is not ClassVar)

    def __init__(self, *values: Any, **named: Any) -> None:
        passed: dict[str, Any] = dict(zip(self._fields, values, strict=False)) | named
        fields = {name: getattr(type(self), name) for name in self._fields if hasattr(type(self), name)} | passed
        if len(values) + len(named) != len(passed) or fields.keys() != {*self._fields}:
            raise TypeError(f"{type(self).__name__} takes {', '.join(self._fields) or 'nothing'}")
        for name in self._fields:
            setattr(self, name, tuple(fields[name]) if type(fields[name]) is list else fields[name])
        # In order, so that an error survives pickling.
        super().__init__(*(getattr(self, name) for name in self._fields))

    @property
    def legal_next_steps(self) -> tuple[str, ...]:
        """What may be done instead, as action names; empty where nothing is known."""
        return self.instead if isinstance(self.instead, tuple) else tuple(getattr(self, self.instead))

    def __str__(self) -> str:
        return self.sentence.format_map({name: _readable(getattr(self, name)) for name in self._fields})

    def __repr__(self) -> str:
        # What Oban writes down of an attempt that fails with an error as its value.
        return f"{type(self).__name__}({str(self)!r})"


def _readable(value: Any) -> Any:
    return ", ".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value
