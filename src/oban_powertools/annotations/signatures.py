"""The args and the result of a worker's function, by its annotations."""

import inspect
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping
from typing import Any, Final, Union, get_args, get_origin

from ..errors import Fault, UnfitValueError, UnsupportedAnnotationError
from .codec import ANYTHING, Codec
from .codecs import UnsupportedError, find_codec
from .containers import Either, Field, Keys, Pairs, Record, Several
from .models import Model

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Border:
    """Args and result of one worker: Python on this side, JSON on the other.

    Args:
        worker: Its name, for errors.
        args: The codec of its args, whose JSON is an object.
        returns: The codec of its result.
    """

    def __init__(self, worker: str, args: Codec, returns: Codec) -> None:
        self._worker = worker
        self._args = args
        self.returns = returns

    @property
    def is_plain(self) -> bool:
        """Whether nothing is annotated: then all values stay as they are."""
        return self.returns is ANYTHING and self._args is ANYTHING

    def write_args(self, args: Any) -> dict[str, Any]:
        """Args as JSON; placeholders stay.

        Raises:
            UnfitValueError: Lists every value that does not fit its annotation.
        """
        faults: list[Fault] = []
        written = self._args.encode(args, "args", faults)
        return self._checked(f"the args of {self._worker}", written, faults)

    def read_args(self, args: Mapping[str, Any]) -> Any:
        """The args that JSON stands for; those without a parameter stay as they are.

        Raises:
            UnfitValueError: As ``write_args``.
        """
        faults: list[Fault] = []
        read = self._args.decode(args, "args", faults)
        return self._checked(f"the args of {self._worker}", read, faults)

    def write_result(self, result: Any) -> Any:
        """A result as JSON.

        Raises:
            UnfitValueError: It does not fit the annotation.
        """
        faults: list[Fault] = []
        written = self.returns.encode(result, "result", faults)
        return self._checked(f"the result of {self._worker}", written, faults)

    def _checked[Value](self, what: str, value: Value, faults: list[Fault]) -> Value:
        if faults:
            raise UnfitValueError(what, faults)
        return value


def read_result(returns: Codec, result: Any, of: str) -> Any:
    """The result that JSON stands for.

    Args:
        of: Whose it is, for the error: ``step 'charge'``.

    Raises:
        UnfitValueError: It does not fit the annotation.
    """
    faults: list[Fault] = []
    read = returns.decode(result, "result", faults)
    if faults:
        raise UnfitValueError(f"the result of {of}", faults)
    return read


def list_of(codec: Codec) -> Codec:
    """The codec of a list whose items may be null."""
    return Several(Either([codec, find_codec(None)]), (list,), list)


def border_of(function: Callable[..., Any], worker: str, *, endings: tuple[type, ...]) -> Border:
    """The border of a function whose parameters are the args.

    Args:
        endings: Types that a worker may return instead of a result; they are left out of its type.

    Raises:
        UnsupportedAnnotationError: An annotation has no JSON form, or cannot be found.
    """
    hints = _hints_of(function, worker)
    parameters = inspect.signature(function).parameters.values()
    parts = {parameter.name: _part(parameter, hints, worker) for parameter in parameters}
    is_plain = all(part.codec is ANYTHING for part in parts.values())
    args = ANYTHING if is_plain else Keys(parts, "the args", closed=True)
    return Border(worker, args, _returns(hints.get("return", Any), worker, endings))


def record_border(cls: type[Any], worker: str, kinds: tuple[Any, Any] | None, *, endings: tuple[type, ...]) -> Border:
    """The border of a class with a ``process``.

    Args:
        kinds: The types of its args, which are one record, and of its result; None for args that are any dict.
        endings: As in ``border_of``.

    Raises:
        UnsupportedAnnotationError: As ``border_of``; or the args are no record.
    """
    process: Any = getattr(cls, "process", None)
    hints = _hints_of(process, worker) if inspect.isfunction(process) else {}
    result = hints.get("return", Any if kinds is None else kinds[1])
    args = ANYTHING if kinds is None else _find(kinds[0], worker, "args")
    if not isinstance(args, Record | Keys | Pairs | Model) and args is not ANYTHING:
        raise UnsupportedAnnotationError(
            worker, "args", args.expected, "a job's args are an object: use a dataclass, a model or a TypedDict"
        )
    return Border(worker, args, _returns(result, worker, endings))


def _returns(annotation: Any, worker: str, endings: tuple[type, ...]) -> Codec:
    if get_origin(annotation) in (abc.Coroutine, abc.Awaitable):
        annotation = get_args(annotation)[-1]
    return _find(_without(annotation, endings), worker, "its result")


def _hints_of(function: Callable[..., Any], worker: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise _not_found(worker, error) from None


def _part(parameter: inspect.Parameter, hints: Mapping[str, Any], worker: str) -> Field:
    if parameter.kind not in _NAMED:
        raise UnsupportedAnnotationError(
            worker, str(parameter), "no annotation", "give each arg a parameter of its own: a job's args have names"
        )
    codec = _find(hints.get(parameter.name, Any), worker, parameter.name)
    if parameter.default is None and codec is not ANYTHING:
        codec = Either([find_codec(None), codec])
    return Field(codec, parameter.default is inspect.Parameter.empty)


def _find(annotation: Any, worker: str, name: str) -> Codec:
    try:
        return find_codec(annotation)
    except UnsupportedError as error:
        raise UnsupportedAnnotationError(worker, name, error.annotation, error.advice) from None
    except NameError as error:
        raise _not_found(worker, error) from None


def _not_found(worker: str, error: NameError) -> UnsupportedAnnotationError:
    instead = "import it where the worker is imported, not only for type checkers, and define it before the worker"
    return UnsupportedAnnotationError(worker, "an annotation", str(error.name), instead)


def _without(annotation: Any, endings: tuple[type, ...]) -> Any:
    if annotation in endings:
        return Any
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    results = [member for member in get_args(annotation) if member not in endings]
    return Union[tuple(results)] if results else Any  # noqa: UP007 - made while it runs
