"""Result references: where a later step's args will take the result of an earlier step.

The database resolves a reference when it releases the step, so the job's row holds plain args that any worker in any
language can run. A reference is a value of its own, never part of a text.
"""

from typing import Any, ClassVar, Final, Literal, Never, NoReturn

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


class Reference:
    """The result (or error) of a step, or a part of it: ``billing.result["total"]``."""

    __slots__ = ("owner", "part", "path", "step")

    __in_json__: ClassVar[str] = "a reference is filled in only in the args of a later step of its workflow"

    def __init__(
        self, step: str, part: Part = "result", path: tuple[str | int, ...] = (), owner: object = None
    ) -> None:
        self.step: Final = step
        self.part: Final[Part] = part
        self.path: Final = path
        self.owner: Final = owner

    def __getitem__(self, key: str | int) -> "Reference":
        """The part of the value under a key or index; missing parts resolve to null.

        Raises:
            TypeError: The key is neither text nor an integer.
        """
        if type(key) not in (str, int):
            raise TypeError(f"a reference is narrowed by text keys and integer indexes, not by {type(key).__name__}")
        return Reference(self.step, self.part, (*self.path, key), self.owner)

    def __repr__(self) -> str:
        return f"Reference({self.step}.{self.part}{''.join(f'[{key!r}]' for key in self.path)})"

    def __str__(self) -> Never:
        raise TypeError(_NOT_TEXT)

    def __format__(self, spec: str) -> Never:
        raise TypeError(_NOT_TEXT)

    def __iter__(self) -> Never:
        raise TypeError("a result reference cannot be iterated: its value is known only when the step is released")

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a reference has no {name!r}: for a part of the value write reference[{name!r}]")


# Operations of a value that a reference does not have. Not declared in the class, so that type checkers refuse them,
# too.
for _operation in (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod divmod rdivmod pow rpow matmul rmatmul "
    "and rand or ror xor rxor lshift rlshift rshift rrshift invert neg pos abs round trunc floor ceil "
    "eq ne lt le gt ge bool int float complex index bytes len contains reversed next setitem delitem "
    "await aiter anext enter exit aenter aexit"
).split():
    setattr(Reference, f"__{_operation}__", _not_yet)


class StepHandle:
    """A step that was added: name it as a dependency, or take its result into later args."""

    __slots__ = ("_owner", "name")

    __in_json__: ClassVar[str] = "a step is no value; pass its result: step.result"

    def __init__(self, name: str, owner: object) -> None:
        self.name: Final = name
        self._owner: Final = owner

    @property
    def result(self) -> Reference:
        """The result of the step's worker; placing it in args implies the dependency."""
        return Reference(self.name, "result", (), self._owner)

    @property
    def error(self) -> Reference:
        """The step's last error, null when it succeeded: ``{"attempt", "at", "error"}``."""
        return Reference(self.name, "error", (), self._owner)

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
