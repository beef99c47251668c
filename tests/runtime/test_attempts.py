"""Every attempt is recorded, whatever text it carries, under who made it and under nobody else's name."""

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oban_powertools import Actor, Powertools
from oban_powertools.errors import NotAuthorizedError, ReservedActorError
from oban_powertools.operators.authorization import ActorType, as_surface, distinct, find_actor
from oban_powertools.operators.authorization.actors import LONGEST
from tests.operators.test_operator_calls import ROWS, Scene
from tests.support.by_hand import Hand, chain

ODD: Any = {"id": "ada\0\ud800", "label": "Ada\0\ud800", "request_id": "r\0\ud800"}
WHY = "because of\0 a \ud800 test"


class Speaker:
    """Powertools as a caller sees it who names another actor and another reason than the call does."""

    def __init__(self, powertools: Powertools, actor: Any, reason: str) -> None:
        self._powertools = powertools
        self._words = {"actor": actor, "reason": reason}

    def __getattr__(self, name: str) -> Any:
        return _Facade(getattr(self._powertools, name), self._words)


class _Facade:
    def __init__(self, facade: object, words: dict[str, Any]) -> None:
        self._facade = facade
        self._words = words

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._facade, name)

        def call(*args: Any, **options: Any) -> Any:
            bound = inspect.signature(method).bind(*args, **options)
            bound.arguments |= {word: said for word, said in self._words.items() if word in bound.arguments}
            return method(*bound.args, **bound.kwargs)

        return call


@pytest.fixture
async def scene(hand: Hand) -> AsyncIterator[Scene]:
    yield Scene(hand, await hand.insert(chain(1)))


async def attempt(scene: Scene, name: str, *, allowed: bool, actor: Any = ODD, reason: str = WHY) -> list[Any]:
    """What the audit holds of one call; what it raises, it raises."""
    powertools, row = scene.hand.powertools, ROWS[name]
    if row.prepare is not None:
        await row.prepare(
            cast("Powertools", powertools if actor == "Host" else Speaker(powertools, actor, reason)), scene
        )
    before = len(await powertools.audit.list())
    powertools._services.guard._authorize = lambda *_: allowed
    try:
        await row.call(cast("Powertools", Speaker(powertools, actor, reason)), scene)
    finally:
        records = await powertools.audit.list()
        scene.kept["records"] = records[: len(records) - before]
    return scene.kept["records"]


@pytest.mark.parametrize("name", ROWS)
async def test_refused_it_is_recorded_whatever_text_it_carries(scene: Scene, name: str) -> None:
    with pytest.raises(NotAuthorizedError):
        await attempt(scene, name, allowed=False)

    [kept] = scene.kept["records"]
    assert (kept.actor_id, kept.outcome) == ("ada\\u0000\\ud800", "refused")
    assert kept.reason in (None, "because of\\u0000 a \\ud800 test")


@pytest.mark.parametrize("name", ROWS)
async def test_allowed_it_is_done_and_recorded_whatever_text_it_carries(scene: Scene, name: str) -> None:
    records = await attempt(scene, name, allowed=True)

    assert {(kept.actor_id, kept.actor_label, kept.outcome) for kept in records} == (
        {("ada\\u0000\\ud800", "Ada\\u0000\\ud800", "executed")} if ROWS[name].recorded else set()
    )


@pytest.mark.parametrize("name", ROWS)
async def test_nobody_does_it_as_powertools_or_the_host_and_who_tried_is_recorded(scene: Scene, name: str) -> None:
    with pytest.raises(ReservedActorError):
        await attempt(scene, name, allowed=False, actor="Host")

    [kept] = scene.kept["records"]
    assert (kept.actor_id, kept.outcome, kept.details["code"]) == ("", "refused", "reserved_actor")
    assert "'Host'" in kept.details["message"]


@pytest.mark.parametrize(
    "given",
    [
        "host",
        " Powertools ",
        "SYSTEM",
        "\uff48\uff4f\uff53\uff54",
        {"id": "host"},
        {"id": "powertools", "type": "service"},
        {"id": "ada", "type": "system"},
        Actor(id="system"),
        Actor(id="ada", type=ActorType.SYSTEM),
    ],
)
def test_no_caller_is_taken_for_powertools_or_the_host(given: Any) -> None:
    with pytest.raises(ReservedActorError, match="Powertools itself"):
        find_actor(given)


def test_no_caller_comes_through_the_door_of_powertools() -> None:
    with pytest.raises(ValueError, match="Powertools itself"):
        as_surface("system")


TEXTS = st.text() | st.text(min_size=1, max_size=3).map(lambda end: "a" * LONGEST + end)


@given(TEXTS, TEXTS)
@example("x\0y", "xy")
@example("a" * LONGEST + "b", "a" * LONGEST + "c")
def test_two_texts_that_differ_anywhere_stay_two(one: str, other: str) -> None:
    kept = distinct(one, LONGEST), distinct(other, LONGEST)

    assert max(map(len, kept)) <= LONGEST
    assert (kept[0] == kept[1]) is (one == other)
    assert [text.encode().count(b"\0") for text in kept] == [0, 0]


def test_two_actors_whose_ids_differ_late_are_two() -> None:
    ids = {find_actor(given) for given in ("a" * 500 + "b", "a" * 500 + "c")}

    assert len(ids) == 2


@pytest.mark.parametrize("given", [Actor(id="a" * 500), Actor(id=" ada\0"), Actor(id="ada", label="l" * 500)])
def test_an_actor_that_the_host_made_is_kept_as_any_other(given: Actor) -> None:
    assert find_actor(given) == find_actor({"id": given.id, "label": given.label})
