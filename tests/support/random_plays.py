"""Random workflows and what happens to their jobs, as plain data: what Hypothesis draws and shrinks.

A move picks its targets by number, counted around among those there are when it is made; so any
play fits any course of events, and one that failed can be kept as an example.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from hypothesis import strategies as st

from tests.support.model import Policy, Ref


@dataclass(frozen=True)
class StepPlan:
    """A step; its parents may stand before or after it."""

    parents: tuple[tuple[int, Policy], ...] = ()
    refs: tuple[Ref, ...] = ()
    priority: int = 0


type Graph = tuple[StepPlan, ...]


@dataclass(frozen=True)
class Ending:
    """What one job comes to; ``value`` is the result (None: none, else a tuple of one) or the error."""

    kind: Literal["completed", "discarded", "cancelled", "error", "snooze"] = "completed"
    value: Any = None


@dataclass(frozen=True)
class Finish:
    """These live jobs start and end, acknowledged in one batch: all at once, or as Oban does row by row."""

    endings: tuple[tuple[int, Ending], ...]
    turbo: bool = True


@dataclass(frozen=True)
class Edit:
    """One UPDATE in psql puts these jobs, alive or not, into these states."""

    endings: tuple[tuple[int, Ending], ...]


@dataclass(frozen=True)
class Delete:
    """One DELETE removes these jobs, alive or not."""

    picks: tuple[int, ...]


@dataclass(frozen=True)
class Retry:
    """Oban's own retry of these jobs, alive or not."""

    picks: tuple[int, ...]


@dataclass(frozen=True)
class Complete:
    """``complete_step`` on one step of all there are."""

    pick: int
    ending: Ending


@dataclass(frozen=True)
class Break:
    """Settling these steps fails from now on, until the next Mend."""

    picks: tuple[int, ...]


@dataclass(frozen=True)
class Mend:
    """Nothing fails any more."""


@dataclass(frozen=True)
class Blind:
    """The triggers are disabled, or enabled again."""

    blind: bool


@dataclass(frozen=True)
class Sweep:
    """The sweep comes by."""


type Move = Finish | Edit | Delete | Retry | Complete | Break | Mend | Blind | Sweep


@dataclass(frozen=True)
class Play:
    """Workflows inserted together, and what happens then."""

    graphs: tuple[Graph, ...]
    moves: tuple[Move, ...] = ()


KEYS = st.sampled_from(["a", "b", "0", 0, 1, -1])
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
# jsonb keeps 6.241736670418206e16 as the integer 62417366704182060: the same float, not an equal integer.
FLOATS = st.floats(-1e15, 1e15) | st.sampled_from([1e300, -1e300, 5e-324])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), FLOATS, TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0") | TEXTS, inner, max_size=3),
    max_leaves=6,
)
"""JSON."""

PICKS = st.integers(0, 99)
POLICIES = st.sampled_from(get_args(Policy.__value__))


@st.composite
def graphs(draw: st.DrawFn, most: int = 25) -> Graph:
    """Acyclic; steps stand in any order."""
    size = draw(st.integers(1, most))
    place = draw(st.permutations(range(size)))
    steps: dict[int, StepPlan] = {}
    for number in range(size):
        earlier = st.integers(0, number - 1) if number else st.nothing()
        numbers = draw(st.lists(earlier, max_size=3, unique=True)) if number else []
        parents = tuple((place[parent], draw(POLICIES)) for parent in numbers)
        refs = tuple(draw(references(parent)) for parent, _ in parents if draw(st.booleans()))
        steps[place[number]] = StepPlan(parents=parents, refs=refs, priority=draw(st.integers(0, 9)))
    return tuple(steps[position] for position in range(size))


def references(parent: int) -> st.SearchStrategy[Ref]:
    results = st.builds(Ref, st.just(parent), st.just("result"), st.lists(KEYS, max_size=2).map(tuple))
    errors = st.builds(Ref, st.just(parent), st.just("error"), st.sampled_from([(), ("error",), ("attempt",)]))
    return results | errors


def endings(*kinds: str) -> st.SearchStrategy[Ending]:
    results = st.none() | st.tuples(VALUES)
    # "A" or "a.b" alone would name a class of exceptions, of which the model knows nothing.
    errors = TEXTS.map(lambda text: f"it broke [{text}]")
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.builds(Ending, st.just(kind), results if kind == "completed" else errors)
    )


ALL_KINDS = ("completed", "completed", "completed", "discarded", "cancelled", "error", "snooze")
ENDINGS = st.lists(st.tuples(PICKS, endings(*ALL_KINDS)), min_size=1, max_size=6).map(tuple)
FEW = st.lists(PICKS, min_size=1, max_size=3).map(tuple)

FINISH = st.builds(Finish, ENDINGS, st.booleans())
MOVES: st.SearchStrategy[Move] = st.one_of(
    FINISH,
    FINISH,
    FINISH,
    st.builds(Edit, ENDINGS),
    st.builds(Delete, FEW),
    st.builds(Retry, FEW),
    st.builds(Complete, PICKS, endings("completed", "discarded", "cancelled")),
    st.builds(Break, FEW),
    st.just(Mend()),
    st.builds(Blind, st.booleans()),
    st.just(Sweep()),
)

PLAYS = st.builds(
    Play,
    st.one_of(st.tuples(graphs()), st.lists(graphs(6), min_size=2, max_size=3).map(tuple)),
    st.lists(MOVES, max_size=12).map(tuple),
)
