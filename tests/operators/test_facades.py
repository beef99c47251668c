"""Facades: each public call has one home, where it is written down, and the parts of one do not disturb each other."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import pytest

import oban_powertools
from oban_powertools.calls import Calls
from oban_powertools.operators.services import Facade
from tests.support.by_hand import Hand

SOURCES = Path(oban_powertools.__file__).parent
WIRING = re.compile(r"\b(?:Services|Settings|Guard|DisplayPolicy|Authorize|Connect|Queries|Callable)\b")


def facades(kind: type[Facade] = Facade) -> Iterator[type[Facade]]:
    for below in kind.__subclasses__():
        yield below
        yield from facades(below)


HOMES = [one for one in facades() if one.__bases__ == (Facade,)]
COMPOSED = list(dict.fromkeys(one for one in facades() if one not in HOMES))


def names_of(part: type[Facade]) -> set[str]:
    """What a class gives a name to itself."""
    return {name for name in vars(part) if not name.startswith("__")}


def attributes_of(part: Facade) -> Mapping[str, object]:
    return vars(part)


@pytest.mark.parametrize("home", HOMES)
def test_every_public_call_is_written_down_where_it_is_done(home: type[Facade]) -> None:
    calls = {name: found for name, found in vars(home).items() if callable(found) and not name.startswith("_")}

    assert calls
    assert [name for name, found in calls.items() if not inspect.getdoc(found)] == []


@pytest.mark.parametrize("composed", COMPOSED)
def test_a_facade_of_parts_hands_nothing_on(composed: type[Facade]) -> None:
    assert names_of(composed) == set()


@pytest.mark.parametrize("composed", COMPOSED)
def test_no_two_parts_of_a_facade_give_one_name_to_two_things(composed: type[Facade]) -> None:
    shared = {
        (one.__name__, other.__name__): names_of(one) & names_of(other)
        for one, other in combinations(composed.__bases__, 2)
    }

    assert {pair: names for pair, names in shared.items() if names} == {}


def test_no_call_sends_its_reader_to_the_call_that_hands_on_to_it() -> None:
    facade = "|".join(one.__name__ for one in facades())
    sends = re.compile(rf'"""As ``(?:{facade})\.\w+``\.')

    found = {path.name: sends.findall(path.read_text()) for path in SOURCES.rglob("*.py")}

    # A handle waits as its workflow does: it is no facade.
    assert {name for name, told in found.items() if told} <= {"handle.py"}


def wired(path: Path) -> Iterator[str]:
    """``Class(argument)`` of every argument of a constructor that is wiring, and may be left out."""
    for part in ast.walk(ast.parse(path.read_text())):
        if isinstance(part, ast.ClassDef):
            for made in part.body:
                if isinstance(made, ast.FunctionDef) and made.name == "__init__":
                    yield from (f"{part.name}({argument})" for argument in left_out(made.args))


def left_out(arguments: ast.arguments) -> Iterator[str]:
    places = [*arguments.posonlyargs, *arguments.args]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    optional = [*places[len(places) - len(arguments.defaults) :], *(each for each, default in named if default)]
    for each in optional:
        if each.annotation is not None and WIRING.search(ast.unparse(each.annotation)):
            yield each.arg


def test_below_the_root_nothing_that_is_wired_may_be_left_out() -> None:
    # The runner of users' tests opens its own, as they ask.
    root = {SOURCES / "powertools.py", SOURCES / "calls.py", SOURCES / "testing" / "runner.py"}

    found = {path.name: list(wired(path)) for path in SOURCES.rglob("*.py") if path not in root}

    assert {name: arguments for name, arguments in found.items() if arguments} == {}


async def test_all_calls_share_the_services_that_were_made_once(hand: Hand) -> None:
    calls: Calls = hand.powertools

    parts = [part for part in vars(calls).values() if isinstance(part, Facade)]

    assert {type(part).__name__ for part in parts} >= {"Workflows", "Lifeline", "Audit", "Explain", "Events"}
    assert {id(attributes_of(part)["_services"]) for part in parts} == {id(vars(calls)["_services"])}
