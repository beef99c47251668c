"""The synchronous calls are all of the asynchronous ones, with the same arguments."""

import inspect
from typing import Any

import pytest

from oban_powertools import calls, sync
from tools.sync_types import TYPES, types_text

GROUPS = {name: kind for name, kind in inspect.get_annotations(calls.Calls).items() if isinstance(kind, type)}
SYNC = {name: kind for name, kind in inspect.get_annotations(sync.SyncCalls).items() if isinstance(kind, type)}


def public(kind: type) -> dict[str, Any]:
    return {
        name: getattr(kind, name) for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))
    }


def test_every_group_of_calls_is_there() -> None:
    assert list(SYNC) == list(GROUPS)


@pytest.mark.parametrize("name", GROUPS)
def test_every_call_of_a_group_is_there_and_awaits_nothing(name: str) -> None:
    made = public(SYNC[name])

    assert list(made) == list(public(GROUPS[name]))
    assert [
        each for each, call in made.items() if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
    ] == []


def test_the_types_are_those_of_the_asynchronous_calls() -> None:
    assert types_text() == TYPES.read_text(), "the types are out of date: python -m tools.sync_types"
