"""What turns a value of an annotated type into JSON and back, and says where it does not fit.

A fault names the kind of what was found, never the value: values may be secret, and errors are stored and shown.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from ..errors import Fault


class Placeholder:
    """A value that is filled in later, such as a result reference: it stands in args as it is, whatever is expected."""

    __slots__ = ()


class Codec:
    """The JSON form of one type. This one is that of values which are JSON already: they stay as they are."""

    def __init__(self, expected: str = "JSON") -> None:
        self._expected = expected

    @property
    def expected(self) -> str:
        """The type in words, for a fault."""
        return self._expected

    def encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        """The value as JSON; what does not fit is added to ``faults``, and the result is then of no use.

        Args:
            path: Where the value is: ``args.order.lines[2]``.
        """
        return value if isinstance(value, Placeholder) else self._encode(value, path, faults)

    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        """The value that JSON stands for; as ``encode``."""
        del path, faults
        return value

    def attributes(self) -> Mapping[str, "Codec"]:
        """The parts that a value of this type has as attributes, by their names, which are the keys of its JSON."""
        return {}

    def item(self, key: str | int) -> "Codec":
        """The codec of the part under a key or index."""
        del key
        return ANYTHING

    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        del path, faults
        return value

    def _refuse(self, value: Any, path: str, faults: list[Fault], hint: str = "") -> None:
        faults.append(mismatch(path, f"expected {self.expected}, found {describe_kind(value)}{hint}"))


ANYTHING: Final = Codec()
"""The codec of what has no annotation, or ``Any``: the value is JSON, and stays as it is."""


def mismatch(path: str, message: str) -> Fault:
    """The fault of a value that does not fit its annotation."""
    return Fault(code="does_not_fit", path=path, message=message)


def describe_kind(value: object) -> str:
    """The kind of a value, in JSON's words where it is JSON."""
    match value:
        case None:
            return "null"
        case str():
            return "text" if type(value) is str else type(value).__qualname__
        case bool() | int() | float() | list() | dict():
            return type(cast("object", value)).__name__
        case _:
            return type(value).__qualname__
