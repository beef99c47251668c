"""Result references: where a later step's args will take the result of an earlier step.

The database resolves a reference when it releases the step, so the job's row holds plain args that any worker in any
language can run. A reference is a value of its own, never part of a text.

For a type checker a step's result is the value itself, of the type that its worker returns: only so can it stand
wherever a value of that type is expected. docs/how-to/types.md says what else was looked at.
"""

import difflib
from typing import Any, ClassVar, Final, Literal, NamedTuple, Never, NoReturn, TypeGuard, cast

from ..annotations import ANYTHING, Codec, Placeholder

type Part = Literal["result", "error", "item"]

_NOT_TEXT: Final = (
    "a result reference has no text yet: pass it as a value of its own in the args, "
    "and put the text together in the worker"
)


_NOT_YET: Final = (
    "a reference is filled in when the step has run: pass it as it is, or a part of it as reference['key'], "
    "and compute in the worker"
)


_NO_TEXT: Final = "a step has no text: its name is step.name, and step.result is a value of its own in the args"


_NO_VALUE: Final = (
    "a step is no value: pass its result, step.result, in the args of a later step, and compute in the worker"
)


def _not_yet(*_: object) -> NoReturn:
    raise TypeError(_NOT_YET)


class PlaceOfValue(NamedTuple):
    """What a reference points to."""

    step: str
    """The step's name."""

    part: Part
    """Which of its values."""

    path: tuple[str | int, ...]
    """Keys and indexes within that value."""

    owner: object
    """The workflow; None for a step by name."""


class Reference[Value](Placeholder):
    """The result (or error) of a step, or a part of it: ``billing.result["total"]``.

    A part of a dataclass or a Pydantic model has its field's name: ``billing.result.total``.
    """

    # Names that no field of a value has.
    __slots__ = ("__codec__", "__place__")

    __in_json__: ClassVar[str] = "a reference is filled in only in the args of a later step of its workflow"

    def __init__(
        self,
        step: str,
        part: Part = "result",
        path: tuple[str | int, ...] = (),
        owner: object = None,
        codec: Any = ANYTHING,
    ) -> None:
        self.__place__: Final = PlaceOfValue(step, part, path, owner)
        self.__codec__: Final[Codec] = codec

    def __getitem__(self, key: str | int) -> "Reference[Any]":
        """The part of the value under a key or index; missing parts resolve to null.

        Raises:
            TypeError: The key is neither text nor an integer.
        """
        if type(key) not in (str, int):
            raise TypeError(f"a reference is narrowed by text keys and integer indexes, not by {type(key).__name__}")
        return self._narrowed(key, self.__codec__.item(key))

    def __repr__(self) -> str:
        step, part, path, _ = self.__place__
        return f"Reference({step}.{part}{''.join(f'[{key!r}]' for key in path)})"

    def __str__(self) -> Never:
        raise TypeError(_NOT_TEXT)

    def __format__(self, spec: str) -> Never:
        raise TypeError(_NOT_TEXT)

    def __iter__(self) -> Never:
        raise TypeError("a result reference cannot be iterated: its value is known only when the step is released")

    def __getattr__(self, name: str) -> "Reference[Any]":
        """The part of the value under a field's name, where the worker's annotation says that the value has fields.

        Raises:
            AttributeError: It does not.
        """
        attributes = self.__codec__.attributes()
        if name in attributes:
            return self._narrowed(name, attributes[name])
        if not attributes:
            raise AttributeError(f"a reference has no {name!r}: for a part of the value write reference[{name!r}]")
        close = difflib.get_close_matches(name, attributes, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise AttributeError(f"{self.__codec__.expected} has no field {name!r}{hint}")

    def _narrowed(self, key: str | int, codec: Codec) -> "Reference[Any]":
        step, part, path, owner = self.__place__
        return Reference(step, part, (*path, key), owner, codec)


def is_reference(value: object) -> TypeGuard[Reference[Any]]:
    """Whether a value is a reference."""
    return isinstance(value, Reference)


def place_of(reference: Reference[Any]) -> PlaceOfValue:
    """What a reference points to; not its attributes, because those are the fields of the value."""
    return reference.__place__


def item_codec(reference: Reference[Any]) -> Codec:
    """The codec of an item of the list that a reference points to."""
    return reference.__codec__.item(0)


# Operations of a value that a reference does not have. Not declared in the class, so that type checkers refuse them,
# too.
for _operation in (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod divmod rdivmod pow rpow matmul rmatmul "
    "and rand or ror xor rxor lshift rlshift rshift rrshift invert neg pos abs round trunc floor ceil "
    "eq ne lt le gt ge bool int float complex index bytes len contains reversed next setitem delitem "
    "await aiter anext enter exit aenter aexit"
).split():
    setattr(Reference, f"__{_operation}__", _not_yet)


class StepHandle[Result]:
    """A step that was added: name it as a dependency, or take its result into later args."""

    __slots__ = ("__codec__", "_owner", "name")

    __in_json__: ClassVar[str] = "a step is no value; pass its result: step.result"

    def __init__(self, name: str, owner: object, codec: Any = ANYTHING) -> None:
        self.name: Final = name
        self._owner: Final = owner
        self.__codec__: Final[Codec] = codec

    @property
    def result(self) -> Result:
        """The result of the step's worker; placing it in args implies the dependency.

        While the workflow is defined it is a ``Reference``, whatever its type says: pass it, or a part of it, and
        compute in the worker.
        """
        return cast("Result", self.reference)

    @property
    def reference(self) -> Reference[Result]:
        """The same as ``result``, with the type that it has while the workflow is defined."""
        return Reference(self.name, "result", (), self._owner, self.__codec__)

    @property
    def error(self) -> Any:
        """The step's last error, null when it succeeded: ``{"attempt", "at", "error"}``."""
        error: Reference[Any] = Reference(self.name, "error", (), self._owner)
        return error

    def belongs_to(self, owner: Any) -> bool:
        """Whether ``owner`` is the workflow this step was added to."""
        return self._owner is owner

    def __repr__(self) -> str:
        return f"StepHandle({self.name!r})"

    def __getitem__(self, key: object) -> NoReturn:
        raise TypeError(f"a step is no value: take its result, as in step.result[{key!r}]")

    def __str__(self) -> NoReturn:
        raise TypeError(_NO_TEXT)

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError(_NO_TEXT)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a step has no {name!r}: for a part of its value write step.result[{name!r}]")


def _no_value(*_: object) -> NoReturn:
    raise TypeError(_NO_VALUE)


for _operation in (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow neg lt le gt ge int float index "
    "iter next await"
).split():
    setattr(StepHandle, f"__{_operation}__", _no_value)


def codec_of(handle: StepHandle[Any]) -> Codec:
    """The codec of a step's result."""
    return handle.__codec__
