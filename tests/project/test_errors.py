"""Every error keeps its fields, says them in its sentence, and survives pickling."""

import inspect
import pickle
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, get_origin

import pytest

from oban_powertools import PowertoolsError, errors
from oban_powertools.errors import Fault, InvalidArgumentError, WorkflowNotFoundError

VALUES: Final[dict[Any, Any]] = {
    int: 7,
    str: "a text",
    int | None: 7,
    str | None: "a text",
    timedelta: timedelta(seconds=7),
    Path: Path("a"),
    Sequence[str]: ["one", "two"],
    Sequence[int]: [1, 2],
    Sequence[Fault]: [Fault(code="cycle_detected", message="a message")],
}
ERRORS: Final = [
    error
    for error in vars(errors).values()
    if inspect.isclass(error)
    and issubclass(error, PowertoolsError)
    and (error.sentence or "__str__" in vars(error))
    and error is not PowertoolsError
]
BASES: Final = {"PowertoolsError", "ConfigurationError", "SchemaError", "NotFoundError", "CommandRefusedError"}


def _fields(error: type[PowertoolsError]) -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    for part in reversed(error.__mro__):
        if issubclass(part, PowertoolsError) and part is not PowertoolsError:
            kinds |= inspect.get_annotations(part, eval_str=True)
    return {name: VALUES[kind] for name, kind in kinds.items() if get_origin(kind) is not ClassVar}


def _kept(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def test_every_error_says_something_besides_those_that_only_gather_others() -> None:
    every = {name for name in errors.__all__ if name.endswith("Error")}

    assert every - {error.__name__ for error in ERRORS} == BASES


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_keeps_its_fields_in_order_and_by_name(error: type[PowertoolsError]) -> None:
    fields = _fields(error)
    made = error(*fields.values())

    assert made.args == tuple(map(_kept, fields.values()))
    assert {name: getattr(made, name) for name in fields} == {name: _kept(value) for name, value in fields.items()}
    assert str(error(**fields)) == str(made)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_says_what_was_found(error: type[PowertoolsError]) -> None:
    said = str(error(*_fields(error).values()))

    assert said
    assert "{" not in said


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_survives_pickling(error: type[PowertoolsError]) -> None:
    made = error(*_fields(error).values())
    again = pickle.loads(pickle.dumps(made))

    assert (type(again), str(again), vars(again)) == (type(made), str(made), vars(made))


@pytest.mark.parametrize(("given", "named"), [((), {}), ((1, 2), {}), ((1,), {"workflow_id": 1}), ((), {"id": 1})])
def test_an_error_refuses_fields_that_it_does_not_have(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="WorkflowNotFoundError takes workflow_id"):
        WorkflowNotFoundError(*given, **named)


def test_a_value_with_braces_is_said_as_it_is() -> None:
    assert str(InvalidArgumentError("{argument}", "{x}", "{}")) == "{argument} is {x}; expected {}"


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_names_acts_that_exist_or_a_field_of_its_own(error: type[PowertoolsError]) -> None:
    assert isinstance(error.instead, tuple) or error.instead in _fields(error)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = [line for line in (errors.__doc__ or "").split("\n") if line.strip().endswith("Error")]
    above: dict[int, str] = {}
    tree: dict[str, str] = {}
    for line in drawn:
        depth, name = (len(line) - len(line.lstrip())) // 4, line.strip()
        above[depth] = name
        tree[name] = above.get(depth - 1, "")
    bases = {error.__name__: error.__mro__[1].__name__ for error in vars(errors).values() if _is_error(error)}

    assert tree == bases | {"PowertoolsError": ""}


def _is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, PowertoolsError)
